//! Generates the gRPC code from the .proto files in pure Rust: no protoc needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=tacit");
    let descriptors = protox::compile(["tacit/v2/tacit.proto"], ["."])?;
    tonic_prost_build::configure()
        .bytes(".")
        // Whoever connects makes TLS itself.
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}
