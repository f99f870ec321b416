//! RetailRocket in the form recommender benchmarks publish it: who looked at, put into the cart and
//! bought what, without times.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use tacit_model::history::interaction::InteractionKind;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::assemble::{Assembly, Row};
use crate::error::{DataError, Fault, printable};
use crate::field;
use crate::lines::Lines;
use crate::movielens::columns;

/// The file of looks, by which a folder or an archive is known.
pub(crate) const VIEWS: &str = "view_ecommerce.dat";
/// The archive as downloaded.
pub(crate) const ARCHIVE: &str = "Retailrocket_Ecommerce.zip";
/// One file for each kind of interaction, in the order in which people usually do them.
const FILES: [(&str, InteractionKind); 3] = [
    (VIEWS, InteractionKind::View),
    ("add_to_cart_ecommerce.dat", InteractionKind::Cart),
    ("purchase_ecommerce.dat", InteractionKind::Purchase),
];
const COLUMNS: [&str; 3] = ["visitorid", "itemid", "event"];
/// Longest accepted file of an archive in bytes, once unpacked.
const UNPACKED_MAX: u64 = 256 << 20;

/// Reads the three files of a folder.
pub(crate) fn read_folder(views: &Path, assembly: &mut Assembly) -> Result<(), DataError> {
    let compressed = views.extension() == Some(OsStr::new("gz"));
    for (name, kind) in FILES {
        let name = if compressed {
            format!("{name}.gz")
        } else {
            name.to_owned()
        };
        read(Lines::open(&views.with_file_name(name))?, kind, assembly)?;
    }
    Ok(())
}

/// Reads the three files of an archive. Nothing is unpacked to disk, so the folders its entries
/// name do not matter.
pub(crate) fn read_archive(path: &Path, assembly: &mut Assembly) -> Result<(), DataError> {
    let archive_name = printable(
        &path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy(),
        255,
    );
    let unreadable = |source| DataError::Unreadable {
        file: archive_name.clone(),
        source,
    };
    // Asked before opening, because opening a named pipe waits for somebody to write into it.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a regular file")));
    }
    let opened = File::open(path).map_err(unreadable)?;
    let mut archive =
        ZipArchive::new(BufReader::new(opened)).map_err(|error| unreadable(said(&error)))?;
    for (name, kind) in FILES {
        let file = format!("{archive_name}/{name}");
        let content = unpack(&mut archive, name).map_err(|source| DataError::Unreadable {
            file: file.clone(),
            source,
        })?;
        read(
            Lines::from_reader(file, Box::new(Cursor::new(content))),
            kind,
            assembly,
        )?;
    }
    Ok(())
}

/// The content of the entry of this name, in whatever folder.
fn unpack(archive: &mut ZipArchive<BufReader<File>>, name: &str) -> io::Result<Vec<u8>> {
    let is_it = |entry: &str| entry.rsplit('/').next() == Some(name);
    let entry = archive
        .file_names()
        .flatten()
        .find(|entry| is_it(entry))
        .map(Cow::into_owned);
    let entry = entry.ok_or_else(|| io::Error::other("the archive has no such file"))?;
    let mut content = Vec::new();
    let unpacked = archive.by_name(&entry).map_err(|error| said(&error))?;
    unpacked
        .take(UNPACKED_MAX + 1)
        .read_to_end(&mut content)
        .map_err(|error| said(&ZipError::Io(error)))?;
    if content.len() as u64 > UNPACKED_MAX {
        return Err(io::Error::other(format!(
            "it is longer than {UNPACKED_MAX} bytes once unpacked"
        )));
    }
    Ok(content)
}

fn said(error: &ZipError) -> io::Error {
    io::Error::other(format!(
        "it cannot be unpacked ({})",
        printable(&error.to_string(), 200)
    ))
}

/// Reads `visitorid`, `itemid` and a constant, separated by tabs, after a line that names them.
fn read(mut lines: Lines, kind: InteractionKind, assembly: &mut Assembly) -> Result<(), DataError> {
    let header = lines.advance()?
        && columns(&lines.latin1(), "\t", COLUMNS).is_ok_and(|found| found == COLUMNS);
    if !header {
        let problem = format!("the first line is not {}", COLUMNS.join(", "));
        return Err(lines.fault(Fault::new(problem, "download the data set again")));
    }
    while lines.advance()? {
        let line = lines.latin1();
        let result = columns(line.trim_end(), "\t", COLUMNS).and_then(|[user, item, _]| {
            assembly.add(&Row {
                user: &field::number_key(COLUMNS[0], user)?.to_string(),
                item: &field::number_key(COLUMNS[1], item)?.to_string(),
                timestamp: None,
                value: 1.0,
                kind,
            })
        });
        result.map_err(|fault| lines.fault(fault))?;
    }
    Ok(())
}
