//! What an app ships so that it has a list before it reaches a coordinator: a catalogue and a
//! model, each with the line of the release ledger that both parties signed for it.

use tacit_privacy::canonical;
use tacit_types::TaskId;

use crate::continuity::Continuity;
use crate::head::LoggedLine;
use crate::policy::{LogMark, Policy, TicketRefusal};

/// What a bundle begins with.
pub const MAGIC: &[u8; 8] = b"TCTBNDL2";

/// A bundle as it is read; [`Policy::check_bundle`] says whether it may be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The line the ledger began with: it names the catalogue.
    pub genesis: LoggedLine,
    /// The line that published the model.
    pub published: LoggedLine,
    /// The catalogue, as the coordinator publishes it.
    pub catalogue: Vec<u8>,
    /// The model's bytes.
    pub model: Vec<u8>,
}

impl Bundle {
    /// The file: [`MAGIC`], then both lines as canonical JSON, catalogue and model, the length of
    /// each before it, u32, little-endian. `None` above that length.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let genesis = canonical::encode(&self.genesis).ok()?;
        let published = canonical::encode(&self.published).ok()?;
        let mut bytes = MAGIC.to_vec();
        for part in [&genesis, &published, &self.catalogue, &self.model] {
            let length = u32::try_from(part.len()).ok()?;
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(part);
        }
        Some(bytes)
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes.strip_prefix(MAGIC)?;
        let genesis = canonical::decode(part(rest)?).ok()?;
        let published = canonical::decode(part(rest)?).ok()?;
        let catalogue = part(rest)?.to_vec();
        let model = part(rest)?.to_vec();
        rest.is_empty().then_some(Self {
            genesis,
            published,
            catalogue,
            model,
        })
    }
}

/// The next part, taken off the front.
fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

impl Policy {
    /// Checks that both parties signed for model and catalogue, in one ledger and for one task;
    /// gives the ledger mark of the model, and the task.
    ///
    /// # Errors
    /// [`TicketRefusal::Unlogged`].
    pub fn check_bundle(&self, bundle: &Bundle) -> Result<(LogMark, TaskId), TicketRefusal> {
        let (ledger, genesis) = self.check_genesis(&bundle.genesis)?;
        let model = canonical::digest(&bundle.model);
        let nothing_seen = LogMark::default();
        let nothing_shown = Continuity::default();
        let (mark, task) =
            self.check_model(&bundle.published, model, nothing_seen, &nothing_shown)?;
        let same_task = mark.ledger_id == ledger && task == genesis.task;
        let catalogue = canonical::digest(&bundle.catalogue);
        if same_task && catalogue == genesis.catalogue_hash {
            Ok((mark, task))
        } else {
            Err(TicketRefusal::Unlogged)
        }
    }
}

#[cfg(test)]
mod tests {
    use tacit_privacy::Rho;
    use tacit_privacy::merkle;
    use tacit_privacy::record::{Event, Genesis, Keeper, Line, SCHEMA, TreeHead};
    use tacit_types::Digest;
    use zeroize::Zeroizing;

    use super::*;
    use crate::head::{SignedHead, sign};
    use crate::keys::SigningKey;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&Zeroizing::new([byte; 32]))
    }

    fn policy() -> Policy {
        Policy::new(key(1).public(), key(2).public(), Rho::MAX, 10)
    }

    /// The only line of a ledger: a task that begins with this model and catalogue.
    fn genesis(task: &str, model: &[u8], catalogue: &[u8], ledger: u8) -> LoggedLine {
        let ledger_id = Digest([ledger; 32]);
        let line = Line {
            schema: SCHEMA,
            ledger_id,
            generation: 1,
            seq: 0,
            prev_hash: Digest([0; 32]),
            keeper: Keeper::Coordinator,
            time_bucket: 0,
            event: Event::Genesis(Genesis {
                task: TaskId::new(task).unwrap(),
                model_out_hash: canonical::digest(model),
                catalogue_hash: canonical::digest(catalogue),
                rho_budget: Rho::ZERO,
            }),
        };
        let line = String::from_utf8(line.to_bytes().unwrap()).unwrap();
        let head = TreeHead {
            ledger_id,
            generation: 1,
            size: 1,
            root: merkle::root(&[merkle::leaf(line.as_bytes())]),
            helper_size: 0,
            helper_last_hash: Digest([0; 32]),
        };
        let head = SignedHead {
            coordinator_signature: sign(&head, &key(1)).unwrap(),
            helper_signature: sign(&head, &key(2)).unwrap(),
            head,
        };
        LoggedLine {
            line,
            seq: 0,
            proof: Vec::new(),
            head,
        }
    }

    fn bundle() -> Bundle {
        let line = genesis("films", b"model", b"catalogue", 5);
        Bundle {
            genesis: line.clone(),
            published: line,
            catalogue: b"catalogue".to_vec(),
            model: b"model".to_vec(),
        }
    }

    #[test]
    fn a_bundle_survives_its_own_bytes_and_nothing_else_is_one() {
        let bytes = bundle().to_bytes().unwrap();
        assert_eq!(Bundle::from_bytes(&bytes), Some(bundle()));
        for cut in 0..bytes.len() {
            assert_eq!(Bundle::from_bytes(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(Bundle::from_bytes(&[&bytes[..], b"x"].concat()), None);
        let mut huge = bytes;
        huge[8..12].fill(0xff);
        assert_eq!(Bundle::from_bytes(&huge), None);
    }

    /// HOSTILE 153: an app is given a model or a catalogue that its parties did not sign for.
    #[test]
    fn a_bundle_is_believed_only_where_both_parties_signed_for_all_of_it() {
        let (_, task) = policy().check_bundle(&bundle()).unwrap();
        assert_eq!(task.as_str(), "films");

        let foreign = Policy::new(key(1).public(), key(3).public(), Rho::MAX, 10);
        assert!(foreign.check_bundle(&bundle()).is_err());
        let other_ledger = genesis("films", b"model", b"catalogue", 6);
        let other_task = genesis("books", b"model", b"catalogue", 5);
        let changes: [fn(&mut Bundle); 3] = [
            |bundle| bundle.model = b"other".to_vec(),
            |bundle| bundle.catalogue = b"other".to_vec(),
            |bundle| {
                bundle.published.head.helper_signature = bundle.published.head.coordinator_signature
            },
        ];
        for change in changes {
            let mut changed = bundle();
            change(&mut changed);
            assert!(policy().check_bundle(&changed).is_err());
        }
        for published in [other_ledger, other_task] {
            let mixed = Bundle {
                published,
                ..bundle()
            };
            assert!(policy().check_bundle(&mixed).is_err());
        }
    }
}
