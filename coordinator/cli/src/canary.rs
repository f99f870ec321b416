//! `tacit audit canary`: measures what the release pipeline of this very build gives away.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rand::TryRng;
use rand::rngs::SysRng;
use tacit_audit::canary::{Audit, Devices, Prepared, SettingError, Settings, run};
use tacit_types::{Delta, Epsilon};

use crate::failure::Failure;
use crate::say;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Privacy budget of one device over all composed releases.
    #[arg(long, default_value_t = 3.0)]
    epsilon: f64,
    /// Delta of every epsilon.
    #[arg(long, default_value_t = 1e-5)]
    delta: f64,
    /// Noise shares in every sum, n_min.
    #[arg(long, default_value_t = 1024)]
    devices: u32,
    /// Numbers in one vector.
    #[arg(long, default_value_t = 4096)]
    length: u32,
    /// Devices that carry a canary; by default all.
    #[arg(long)]
    canaries: Option<u32>,
    /// Releases that are composed.
    #[arg(long, default_value_t = 4)]
    releases: u32,
    /// Repeats the directions and coin flips of an earlier audit; never its noise, which is the
    /// operating system's.
    #[arg(long)]
    seed: Option<u64>,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

/// Runs the audit; fails with exit code 1 when a check does.
pub(crate) fn audit(options: &Options) -> Result<(), Failure> {
    let prepared = Prepared::new(settings(options)?).map_err(bad_setting)?;
    let bar = progress_bar(prepared.contributions());
    let audit = run(&prepared, &mut Devices::default(), &mut || bar.inc(1));
    bar.finish_and_clear();
    let audit = audit?;
    if options.json {
        say::json(&audit)?;
    } else {
        say::result(&audit)?;
    }
    verdict(&audit)
}

fn settings(options: &Options) -> Result<Settings, Failure> {
    let named = |option, error| Failure::input(format!("--{option}: {error}"));
    Ok(Settings {
        epsilon: Epsilon::new(options.epsilon).map_err(|error| named("epsilon", error))?,
        delta: Delta::new(options.delta).map_err(|error| named("delta", error))?,
        devices: options.devices,
        length: options.length,
        canaries: options.canaries.unwrap_or(options.devices),
        releases: options.releases,
        seed: match options.seed {
            Some(seed) => seed,
            // Few enough digits that every reader of JSON keeps them all.
            None => SysRng.try_next_u32()?.into(),
        },
    })
}

fn bad_setting(error: SettingError) -> Failure {
    match error {
        SettingError::OutOfRange { .. } => Failure::input(format!("--{error}")),
        _ => Failure::input(error),
    }
}

/// A failure that names the checks that failed.
fn verdict(audit: &Audit) -> Result<(), Failure> {
    match audit.failures().as_slice() {
        [] => Ok(()),
        failed => Err(anyhow::anyhow!(
            "the release pipeline failed the audit: {}",
            failed.join("; ")
        )
        .into()),
    }
}

/// Counts contributions; visible only on a terminal.
fn progress_bar(contributions: u64) -> ProgressBar {
    let bar = ProgressBar::new(contributions);
    let style =
        ProgressStyle::with_template("{spinner} {pos} of {len} contributions {wide_bar} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_ends_with_exit_code_1_and_its_name() {
        let small = Settings {
            epsilon: Epsilon::new(3.0).unwrap(),
            delta: Delta::new(1e-5).unwrap(),
            devices: 128,
            length: 256,
            canaries: 128,
            releases: 2,
            seed: 1,
        };
        let mut audit = run(
            &Prepared::new(small).unwrap(),
            &mut Devices::default(),
            &mut || (),
        )
        .unwrap();
        assert!(verdict(&audit).is_ok());
        audit.checks[0].passed = false;
        let failure = verdict(&audit).unwrap_err();
        assert_eq!(
            (failure.code(), failure.to_string()),
            (
                1,
                "the release pipeline failed the audit: share variance".into()
            )
        );
    }
}
