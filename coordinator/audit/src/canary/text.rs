//! The audit as a person reads it.

use std::fmt;

use tacit_privacy::convert;

use super::{Audit, Check};

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        writeln!(
            f,
            "{} releases of {} numbers, each the sum of exactly n_min = {} noise shares: the \
             fewest the certificate counts on.",
            settings.releases, settings.length, settings.devices
        )?;
        figures(f, self)?;
        writeln!(
            f,
            "\n{:<23}{:<48}{:>20}{:>10}  verdict",
            "check", "what", "expected", "measured"
        )?;
        self.checks
            .iter()
            .try_for_each(|check| line(f, check))?;
        writeln!(
            f,
            "\n{}. A sound pipeline fails with probability at most {:.1e}.\n\
             Remember: {}.\n\
             The noise is drawn afresh, so figures differ from run to run; --seed {} repeats \
             directions and coin flips.",
            verdict(self),
            self.false_alarm,
            self.meaning,
            settings.seed
        )
    }
}

/// Writes the certificate and both measurements.
fn figures(f: &mut fmt::Formatter<'_>, audit: &Audit) -> fmt::Result {
    let (shot, run) = (&audit.one_shot, &audit.one_run);
    writeln!(
        f,
        "\nepsilon at delta {:e} of one device that is in all of them",
        audit.delta
    )?;
    writeln!(
        f,
        "  certified, at most  {:>7}  {}",
        convert::shown(audit.certified_epsilon),
        audit.conversion
    )?;
    writeln!(
        f,
        "  measured, about     {:>7.3}  one-shot estimate: 95 % interval {:.2} to {:.2}, {:.2} \
         expected; {} canaries in the sum",
        shot.epsilon_estimate,
        shot.interval.0,
        shot.interval.1,
        shot.epsilon_expected,
        shot.canaries
    )?;
    writeln!(
        f,
        "  measured, at least  {:>7.3}  one-run bound at {:.0} %: {} of {} coins guessed, {} right",
        run.epsilon_lower_bound,
        100.0 * run.confidence,
        run.guesses,
        run.canaries,
        run.correct
    )
}

fn verdict(audit: &Audit) -> String {
    match audit.failures().as_slice() {
        [] => format!("Nothing found: all {} checks pass", audit.checks.len()),
        failed => format!(
            "FAILED: {} of {} checks ({})",
            failed.len(),
            audit.checks.len(),
            failed.join("; ")
        ),
    }
}

fn line(f: &mut fmt::Formatter<'_>, check: &Check) -> fmt::Result {
    let expected = if check.low == check.high {
        figure(check.low)
    } else if check.low == -check.high || check.low > 0.0 {
        format!("{} to {}", figure(check.low), figure(check.high))
    } else {
        format!("at most {}", figure(check.high))
    };
    let verdict = if check.passed { "ok" } else { "FAILED" };
    writeln!(
        f,
        "{:<23}{:<48}{:>20}{:>10}  {verdict}",
        check.name,
        check.what,
        expected,
        figure(check.measured)
    )
}

/// Whole numbers as they are, large ones with one decimal, others with four.
fn figure(value: f64) -> String {
    if value.abs() < 5e-5 {
        "0".into()
    } else if value == value.trunc() && value.abs() < 1e9 {
        format!("{value:.0}")
    } else if value.abs() >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.4}")
    }
}
