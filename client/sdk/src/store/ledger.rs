//! The device ledger and the spool: what was spent, and what is being sent.

use rusqlite::{OptionalExtension, params};
use tacit_privacy::ledger::{Reservation, total};
use tacit_privacy::{LedgerStore, Rho};
use tacit_round::commitment::{CommitmentKey, commit};
use tacit_round::contribute::SealedUpdate;
use tacit_round::device::Status;
use tacit_round::policy::LogMark;
use tacit_types::{Commitment, ContributionId, Digest, RoundId, TaskId, Timestamp};

use super::{FILE, Pause, Spooled, Store, mark, to_i64};
use crate::error::SdkError;
use crate::reason::Reason;

impl Store {
    /// Status of one round, if this device took part.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn status(&self, task: &TaskId, round: RoundId) -> Result<Option<Status>, SdkError> {
        let text: Option<String> = self
            .db
            .prepare_cached("SELECT status FROM ledger WHERE task = ?1 AND round = ?2")?
            .query_row(params![task.as_str(), round.0], |row| row.get(0))
            .optional()?;
        text.map(|text| read_status(&text)).transpose()
    }

    /// The round that was interrupted, if one was: reserved or spooled.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn unfinished(&self) -> Result<Option<(TaskId, RoundId, Status)>, SdkError> {
        let row: Option<(String, u32, String)> = self
            .db
            .prepare_cached(
                "SELECT task, round, status FROM ledger WHERE status IN ('reserved', 'spooled') \
                 LIMIT 1",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        row.map(|(task, round, status)| {
            let task = TaskId::new(task);
            let task = task.map_err(|error| SdkError::Stop(error.to_string()))?;
            Ok((task, RoundId(round), read_status(&status)?))
        })
        .transpose()
    }

    /// Second durable commit of a release: the final bytes of a reserved round, with its status,
    /// the wait before they are sent, and whose histories may be in them: of all who contribute.
    ///
    /// It rests on the reservation alone, which everybody takes back who no longer wants to be in
    /// it: what other owners decide meanwhile costs nobody a round that is paid for.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails, [`SdkError::RetryLater`] when the round was given up
    /// since, [`SdkError::Bug`] when it is not reserved in this very store.
    pub fn spool(&mut self, update: &SealedUpdate, pause: Pause) -> Result<Spooled, SdkError> {
        let (task, round) = (update.task().as_str(), update.round().0);
        let spooled = Spooled::of(update, pause);
        let (ticket, contribution) = (spooled.ticket.0, spooled.contribution.0);
        // What SQLite can hold is three hundred million years away.
        let deadline = i64::try_from(spooled.deadline.0).unwrap_or(i64::MAX);
        let (paused, pause) = pause.stored();
        let begun = self.status(update.task(), update.round())?;
        self.change_anyway(|db| {
            let changed = db.execute(
                "UPDATE ledger SET status = 'spooled' WHERE task = ?1 AND round = ?2 AND status = \
                 'reserved'",
                params![task, round],
            )?;
            if changed != 1 {
                return Err(not_reserved(begun));
            }
            db.execute(
                "INSERT INTO spool SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ',' || \
                 coalesce(group_concat(id), '') || ',' FROM owners WHERE consent = 'contribute'",
                params![
                    task,
                    round,
                    ticket,
                    contribution,
                    deadline,
                    paused,
                    pause,
                    spooled.sealed,
                    spooled.commitment_key.as_bytes(),
                    spooled.commitment.0,
                    spooled.masked
                ],
            )?;
            Ok(())
        })?;
        Ok(spooled)
    }

    /// The spooled bytes of a round.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or the spool is damaged, [`SdkError::RetryLater`] when
    /// the owner has given it up meanwhile.
    pub fn spooled(&self, task: &TaskId, round: RoundId) -> Result<Spooled, SdkError> {
        let damaged = || SdkError::Stop(format!("{FILE}: the spool is damaged"));
        type Times = (i64, i64, i64);
        type Row = (Vec<u8>, Vec<u8>, Times, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);
        let row: Option<Row> = self
            .db
            .prepare_cached(
                "SELECT ticket, contribution, sealed, commitment_key, commitment, masked, \
                 deadline, paused, pause FROM spool WHERE task = ?1 AND round = ?2",
            )?
            .query_row(params![task.as_str(), round.0], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    (row.get(6)?, row.get(7)?, row.get(8)?),
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                ))
            })
            .optional()?;
        let erased = || SdkError::retry(Reason::StoreBusy, "the contribution was given up");
        let (ticket, contribution, times, sealed, key, commitment, masked) =
            row.ok_or_else(erased)?;
        let (deadline, paused, pause) = times;
        let commitment_key = CommitmentKey::from_slice(&key).map_err(|_| damaged())?;
        let commitment = Commitment::from_slice(&commitment).map_err(|_| damaged())?;
        if commit(&commitment_key, &masked) != commitment {
            return Err(damaged());
        }
        Ok(Spooled {
            ticket: Digest::from_slice(&ticket).map_err(|_| damaged())?,
            contribution: ContributionId::from_slice(&contribution).map_err(|_| damaged())?,
            // A negative one cannot be written; read as long past, nothing is sent.
            deadline: Timestamp(u64::try_from(deadline).unwrap_or(0)),
            pause: Pause::read((paused, pause)),
            sealed,
            commitment_key,
            commitment,
            masked,
        })
    }

    /// Last durable commit of a release: sets its status and erases its spool. A round that has
    /// ended keeps the status it has.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails, [`SdkError::Bug`] for a status that ends nothing: a
    /// round begun again could be answered twice.
    pub fn finish(
        &mut self,
        task: &TaskId,
        round: RoundId,
        status: Status,
    ) -> Result<(), SdkError> {
        if matches!(status, Status::Reserved | Status::Spooled) {
            return Err(SdkError::Bug(
                "a round was to end as reserved or spooled".into(),
            ));
        }
        self.change(|db| {
            db.execute(
                "UPDATE ledger SET status = ?3 WHERE task = ?1 AND round = ?2 AND status IN \
                 ('reserved', 'spooled')",
                params![task.as_str(), round.0, status_word(status)],
            )?;
            db.execute(
                "DELETE FROM spool WHERE task = ?1 AND round = ?2",
                params![task.as_str(), round.0],
            )?;
            Ok(())
        })
    }

    /// Every ledger line with its status, for the owner to read.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or a line cannot be read.
    pub fn ledger(&self) -> Result<Vec<(Reservation, Status)>, SdkError> {
        let mut query = self.db.prepare_cached(
            "SELECT task, round, ticket, rho, hour, status FROM ledger ORDER BY task, round",
        )?;
        let rows = query.query_map([], |row| {
            let (task, rho, status): (String, String, String) =
                (row.get(0)?, row.get(3)?, row.get(5)?);
            Ok((
                task,
                row.get(1)?,
                row.get(2)?,
                rho,
                row.get::<_, i64>(4)?,
                status,
            ))
        })?;
        rows.map(|row| {
            let (task, round, ticket, rho, hour, status) = row?;
            let line = Reservation {
                task: TaskId::new(task).map_err(|error| SdkError::Stop(error.to_string()))?,
                round: RoundId(round),
                ticket: Digest(ticket),
                rho: Rho::try_from(rho).map_err(SdkError::Stop)?,
                // A negative hour cannot be written; read as the latest, it opens no window.
                hour: u64::try_from(hour).unwrap_or(u64::MAX),
            };
            Ok((line, read_status(&status)?))
        })
        .collect()
    }

    /// Takes over what the coordinator counted this identity for, if that is more than this ledger
    /// knows of: then the ledger was restored from an old copy, or runs on two devices. What no
    /// line accounts for stays spent, on top of everything spent from now on. Durable when this
    /// returns; never goes down.
    ///
    /// Nobody signs the count, so it is taken over up to `backed` ([`Self::backed`]) only: a
    /// coordinator that claims more cannot use a budget up for good. While it claims more,
    /// [`Spending::believing`] counts it too.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn raise_spent(&mut self, counted: Rho, backed: Rho) -> Result<(), SdkError> {
        let Some(more) = counted
            .min(backed)
            .minus(self.spent()?)
            .filter(|more| *more > Rho::ZERO)
        else {
            return Ok(());
        };
        let unrecorded = self.unrecorded()?.compose(more).to_string();
        self.change(|db| {
            db.execute(
                "INSERT OR REPLACE INTO elsewhere VALUES (1, ?1)",
                params![unrecorded],
            )?;
            Ok(())
        })
    }

    /// The part of what this identity was counted for that no line of this ledger accounts for.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn unrecorded(&self) -> Result<Rho, SdkError> {
        let mut query = self.db.prepare_cached("SELECT rho FROM elsewhere")?;
        let rho: Option<String> = query.query_row([], |row| row.get(0)).optional()?;
        rho.map_or(Ok(Rho::ZERO), |rho| {
            Rho::try_from(rho).map_err(SdkError::Stop)
        })
    }

    /// Every reservation ever made, whatever became of it.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or a line cannot be read.
    pub fn reservations(&self) -> Result<Vec<Reservation>, SdkError> {
        Ok(self
            .ledger()?
            .into_iter()
            .map(|(line, _)| line)
            .collect())
    }

    /// What counts as spent: the sum of every reservation, and what is unrecorded.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn spent(&self) -> Result<Rho, SdkError> {
        Ok(total(&self.reservations()?).compose(self.unrecorded()?))
    }
}

/// The store as [`tacit_privacy::ledger::spend`] uses it for an accepted ticket: the reservation
/// and the newest point of the release ledger become durable in one commit, so that neither can be
/// without the other.
pub struct Spending<'a> {
    store: &'a mut Store,
    mark: LogMark,
    claimed: Rho,
}

impl Store {
    /// Opens the ledger for one spend, which remembers `mark` for its task.
    pub fn spending(&mut self, mark: LogMark) -> Spending<'_> {
        Spending {
            store: self,
            mark,
            claimed: Rho::ZERO,
        }
    }
}

impl Spending<'_> {
    /// Counts as spent what the coordinator claims to have counted, if that is more.
    #[must_use]
    pub fn believing(self, claimed: Rho) -> Self {
        Self { claimed, ..self }
    }
}

impl LedgerStore for Spending<'_> {
    type Error = SdkError;

    fn reservations(&self) -> Result<Vec<Reservation>, SdkError> {
        self.store.reservations()
    }

    fn counted(&self) -> Result<Rho, SdkError> {
        Ok(self.store.spent()?.max(self.claimed))
    }

    /// First durable commit of a release.
    fn reserve(&mut self, reservation: &Reservation) -> Result<(), SdkError> {
        let Reservation {
            task,
            round,
            ticket,
            rho,
            hour,
        } = reservation;
        let hour = to_i64(*hour, "the clock")?;
        let mark = self.mark;
        self.store.change(|db| {
            db.execute(
                "INSERT INTO ledger VALUES (?1, ?2, ?3, ?4, ?5, 'reserved')",
                params![task.as_str(), round.0, ticket.0, rho.to_string(), hour],
            )?;
            mark::write(db, task, mark)
        })
    }
}

/// Why a round cannot be spooled that had this status.
fn not_reserved(status: Option<Status>) -> SdkError {
    match status {
        Some(Status::Reserved | Status::Forfeited) => SdkError::retry(
            Reason::StoreBusy,
            "the round was given up while it was made",
        ),
        _ => SdkError::Bug("a contribution was spooled without a reservation".into()),
    }
}

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Reserved => "reserved",
        Status::Spooled => "spooled",
        Status::Acknowledged => "acknowledged",
        Status::Forfeited => "forfeited",
    }
}

fn read_status(word: &str) -> Result<Status, SdkError> {
    [
        Status::Reserved,
        Status::Spooled,
        Status::Acknowledged,
        Status::Forfeited,
    ]
    .into_iter()
    .find(|status| status_word(*status) == word)
    .ok_or_else(|| SdkError::Stop(format!("{FILE}: an unknown status '{word}'")))
}
