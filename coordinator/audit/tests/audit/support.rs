//! Makes small exports with real keys, and spoils them in chosen ways before or after signing.

use std::fs;
use std::path::Path;

use tacit_privacy::noise::NoiseTable;
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::record::{
    Abandoned, Answered, Charge, Countersigned, Empty, Event, Genesis, Keeper, Line, Release,
    SCHEMA, TreeHead,
};
use tacit_privacy::{Mechanism, Rho, Tier, canonical, merkle};
use tacit_round::head::{self, LoggedLine, SignedHead};
use tacit_round::keys::{Context, SignatureBytes, SigningKey};
use tacit_round::nobody_entered::NobodyEntered;
use tacit_round::seal::SCHEME_ID;
use tacit_round::ticket::{SignedTicket, Ticket, TicketFile};
use tacit_types::{Digest, RoundId, TaskId, Timestamp};
use zeroize::Zeroizing;

pub(crate) struct World {
    pub(crate) coordinator: SigningKey,
    pub(crate) helper: SigningKey,
    pub(crate) lines: Vec<Line>,
    pub(crate) helper_lines: Vec<Line>,
    pub(crate) models: Vec<Vec<u8>>,
    pub(crate) tickets: Vec<SignedTicket>,
}

/// What one round of a world is.
#[derive(Clone, Copy)]
pub(crate) enum Round {
    Released(&'static str, u32),
    Abandoned(&'static str, u32),
    Empty(&'static str, u32),
    Restart,
}

pub(crate) fn mechanism(length: u32, sigma2: u64) -> Mechanism {
    Mechanism {
        tier: Tier::Helper,
        length,
        row_width: 1,
        row_cap_milli: 1000,
        history_max: 200,
        nnz_max: 200.min(length),
        steps: 400,
        sigma2,
        n_min: 900,
        cohort_max: 1000,
        helper_noise: false,
    }
}

/// 2 releases, 1 abandoned round, 1 restart.
pub(crate) fn small() -> World {
    let rounds = [
        Round::Released("counts", 500),
        Round::Abandoned("head_gram", 300),
        Round::Restart,
        Round::Released("factor_gradient", 3_200),
    ];
    World::new(&rounds, [1, 2])
}

impl World {
    pub(crate) fn new(rounds: &[Round], seeds: [u8; 2]) -> Self {
        let [coordinator, helper] =
            seeds.map(|seed| SigningKey::from_seed(&Zeroizing::new([seed; 32])));
        let genesis = Genesis {
            task: TaskId::new("films").unwrap(),
            model_out_hash: canonical::digest(b"model 0"),
            catalogue_hash: Digest([9; 32]),
            rho_budget: Rho::saturating_from_units(1 << 64),
        };
        let mut world = Self {
            coordinator,
            helper,
            lines: Vec::new(),
            helper_lines: Vec::new(),
            models: vec![b"model 0".to_vec()],
            tickets: Vec::new(),
        };
        world.push(Event::Genesis(genesis));
        for (i, round) in (1u32..).zip(rounds) {
            world.add(i, *round);
        }
        world.rechain();
        world
    }

    fn push(&mut self, event: Event) {
        let seq = self.lines.len() as u64;
        self.lines.push(Line {
            schema: SCHEMA,
            ledger_id: Digest([self.coordinator.public().0[0]; 32]),
            generation: 1,
            seq,
            prev_hash: Digest([0; 32]),
            keeper: Keeper::Coordinator,
            time_bucket: 498_815 + 7 * seq,
            event,
        });
    }

    fn add(&mut self, round: u32, what: Round) {
        match what {
            Round::Restart => self.push(Event::Restarted {}),
            Round::Abandoned(kind, length) => {
                let charge = self.charge(round, kind, length);
                let reason = "fewer than 948 contributions at the deadline".to_owned();
                self.push(Event::Abandoned(Box::new(Abandoned {
                    charge,
                    contributors: 731,
                    reason,
                })));
            }
            Round::Empty(kind, length) => {
                let charge = self.charge(round, kind, length);
                self.push_empty(&charge);
            }
            Round::Released(kind, length) => {
                let charge = self.charge(round, kind, length);
                let model = format!("model {round}").into_bytes();
                self.answer(&charge);
                self.push(Event::Release(Box::new(Release {
                    charge,
                    contributors: 950 + round,
                    set_digest: Digest([round as u8; 32]),
                    sum_digest: Digest([7; 32]),
                    helper_line_hash: Digest([0; 32]),
                    model_out_hash: canonical::digest(&model),
                })));
                self.models.push(model);
            }
        }
    }

    fn push_empty(&mut self, charge: &Charge) {
        let certificate = NobodyEntered {
            ticket_hash: charge.ticket_hash,
            generation: 1,
        };
        let empty = Empty {
            task: charge.task.clone(),
            round: charge.round,
            ticket_hash: charge.ticket_hash,
            ticket_rho: charge.rho,
            free_rounds: self.free_rounds() + 1,
            reason: "0 contributions at the last call, at least 948 needed".into(),
            helper_generation: 1,
            certificate: certificate.sign(&self.helper).to_string(),
        };
        self.push(Event::Empty(empty));
    }

    /// Empty rounds so far.
    fn free_rounds(&self) -> u32 {
        let empty = |line: &&Line| matches!(line.event, Event::Empty(_));
        self.lines.iter().filter(empty).count() as u32
    }

    /// Changes the line of an empty round and chains again.
    pub(crate) fn change_empty(&mut self, seq: usize, change: impl FnOnce(&mut Empty)) {
        let Event::Empty(empty) = &mut self.lines[seq].event else {
            panic!("line {seq} is not of an empty round")
        };
        change(empty);
        chain(&mut self.lines);
    }

    fn charge(&mut self, round: u32, kind: &str, length: u32) -> Charge {
        let mechanism = mechanism(length, if kind == "counts" { 2_000_000 } else { 600_000 });
        let mut charge = Charge {
            task: TaskId::new("films").unwrap(),
            round: RoundId(round),
            kind: kind.into(),
            ticket_hash: Digest([0; 32]),
            model_in_hash: canonical::digest(self.models.last().unwrap()),
            squared_sensitivity: mechanism.squared_sensitivity(),
            total_variation: release_total_variation(&mechanism),
            rho: mechanism.rho(),
            rho_total: Rho::ZERO,
            dishonest_milli: 50,
            dropout_milli: 50,
            participation_index: 0,
            separation: 0,
            sampler: Charge::SAMPLER.into(),
            rng: Charge::RNG.into(),
            table_hash: NoiseTable::new(&mechanism).digest(),
            build_hash: Digest([8; 32]),
            mechanism,
            unit: Charge::UNIT.into(),
            adjacency: Charge::ADJACENCY.into(),
        };
        let ticket = self.ticket(&charge);
        charge.ticket_hash = ticket.hash();
        self.tickets.push(ticket);
        self.countersign(&charge);
        charge
    }

    /// Adds the helper's line for the ticket of a charge.
    fn countersign(&mut self, charge: &Charge) {
        let signed = |line: &&Line| matches!(line.event, Event::Countersigned(_));
        let before = self.helper_lines.iter().filter(signed).count();
        self.helper_line(Event::Countersigned(Countersigned {
            task: charge.task.clone(),
            round: charge.round,
            ticket_hash: charge.ticket_hash,
            rho: charge.rho,
            participation_index: before as u32 + 1,
        }));
    }

    fn helper_line(&mut self, event: Event) {
        self.helper_lines.push(Line {
            schema: SCHEMA,
            ledger_id: Digest([77; 32]),
            generation: 1,
            seq: self.helper_lines.len() as u64,
            prev_hash: Digest([0; 32]),
            keeper: Keeper::Helper,
            time_bucket: 498_800,
            event,
        });
    }

    /// The ticket a charge stands on, signed by both; its place in the ledger is not what an audit
    /// looks at.
    pub(crate) fn ticket(&self, charge: &Charge) -> SignedTicket {
        let nothing = SignatureBytes([0; 64]);
        let head = TreeHead {
            ledger_id: Digest([0; 32]),
            generation: 1,
            size: 1,
            root: Digest([0; 32]),
            helper_size: 0,
            helper_last_hash: Digest([0; 32]),
        };
        let head = SignedHead {
            head,
            coordinator_signature: nothing,
            helper_signature: nothing,
        };
        let ticket = Ticket {
            schema: tacit_round::ticket::SCHEMA,
            scheme_id: SCHEME_ID,
            task: charge.task.clone(),
            round: charge.round,
            kind: serde_json::from_value(charge.kind.clone().into()).unwrap(),
            model_in_hash: charge.model_in_hash,
            logged: LoggedLine {
                line: String::new(),
                seq: 0,
                proof: Vec::new(),
                head,
            },
            mechanism: charge.mechanism.clone(),
            dishonest_milli: charge.dishonest_milli,
            dropout_milli: charge.dropout_milli,
            delta_pico: 10_000_000,
            membership: false,
            hold_out: false,
            free_rounds: self.free_rounds(),
            deadline: Timestamp(0),
            latest_deadline: Timestamp(0),
            sealing_key: "00".into(),
        };
        let bytes = ticket.to_bytes().unwrap();
        let helper = self.helper.sign(Context::Ticket, &bytes);
        SignedTicket::new(bytes, helper, &self.coordinator)
    }

    /// Signs new tickets for the charges as they stand, and everything that follows from them.
    pub(crate) fn reticket(&mut self) {
        self.tickets.clear();
        for seq in 0..self.lines.len() {
            let Some(charge) = self.lines[seq].charge().cloned() else {
                continue;
            };
            let ticket = self.ticket(&charge);
            charge_mut(&mut self.lines[seq]).unwrap().ticket_hash = ticket.hash();
            for line in &mut self.helper_lines {
                match &mut line.event {
                    Event::Answered(answered) if answered.round == charge.round => {
                        answered.ticket_hash = ticket.hash();
                    }
                    Event::Countersigned(signed) if signed.round == charge.round => {
                        signed.ticket_hash = ticket.hash();
                        signed.rho = charge.rho;
                    }
                    _ => {}
                }
            }
            self.tickets.push(ticket);
        }
        self.rechain();
    }

    /// Lets the helper's lines of a round speak of this ticket.
    pub(crate) fn reticket_helper(&mut self, round: u32, ticket: Digest) {
        for line in &mut self.helper_lines {
            match &mut line.event {
                Event::Answered(line) if line.round.0 == round => line.ticket_hash = ticket,
                Event::Countersigned(line) if line.round.0 == round => line.ticket_hash = ticket,
                _ => {}
            }
        }
    }

    /// Adds the helper's line for a release with this charge.
    pub(crate) fn answer(&mut self, charge: &Charge) {
        self.helper_line(Event::Answered(Answered {
            task: charge.task.clone(),
            round: charge.round,
            ticket_hash: charge.ticket_hash,
            contributors: 950 + charge.round.0,
            set_digest: Digest([charge.round.0 as u8; 32]),
            mask_digest: Digest([8; 32]),
        }));
    }

    /// Makes totals, chains and the hashes between the ledgers consistent again.
    pub(crate) fn rechain(&mut self) {
        self.total();
        chain(&mut self.helper_lines);
        for line in &mut self.lines {
            let Event::Release(release) = &mut line.event else {
                continue;
            };
            let round = release.charge.round;
            let own = |line: &&Line| matches!(&line.event, Event::Answered(a) if a.round == round);
            if let Some(line) = self.helper_lines.iter().find(own) {
                release.helper_line_hash = canonical::digest(&line.to_bytes().unwrap());
            }
        }
        chain(&mut self.lines);
    }

    /// Sums the prices again.
    fn total(&mut self) {
        let (mut total, mut index, mut before) = (Rho::ZERO, 0, None);
        for line in &mut self.lines {
            if let Some(charge) = charge_mut(line) {
                total = total.compose(charge.rho);
                index += 1;
                charge.rho_total = total;
                charge.participation_index = index;
                charge.separation = before.map_or(0, |round| charge.round.0 - round);
                before = Some(charge.round.0);
            }
        }
    }

    /// Changes the charge of line `seq` and chains again, leaving totals as they are.
    pub(crate) fn change(&mut self, seq: usize, change: impl FnOnce(&mut Charge)) {
        change(charge_mut(&mut self.lines[seq]).unwrap());
        chain(&mut self.lines);
    }

    /// Changes a released line and chains again.
    pub(crate) fn change_release(&mut self, seq: usize, change: impl FnOnce(&mut Release)) {
        let Event::Release(release) = &mut self.lines[seq].event else {
            panic!("line {seq} is not a release")
        };
        change(release);
        chain(&mut self.lines);
    }

    /// Changes a whole line and chains again.
    pub(crate) fn change_line(&mut self, seq: usize, change: impl FnOnce(&mut Line)) {
        change(&mut self.lines[seq]);
        chain(&mut self.lines);
    }

    /// Changes the helper's answer number `place`, from 0, and everything that follows from it.
    pub(crate) fn change_answer(&mut self, place: usize, change: impl FnOnce(&mut Answered)) {
        let events = self
            .helper_lines
            .iter_mut()
            .map(|line| &mut line.event);
        let mut answers = events.filter_map(|event| match event {
            Event::Answered(answered) => Some(answered),
            _ => None,
        });
        change(answers.nth(place).unwrap());
        chain(&mut self.helper_lines);
    }

    pub(crate) fn bytes(&self) -> Vec<Vec<u8>> {
        self.lines
            .iter()
            .map(|line| line.to_bytes().unwrap())
            .collect()
    }

    pub(crate) fn signed_head(&self, size: usize) -> SignedHead {
        let leaves: Vec<Digest> = self.bytes()[..size]
            .iter()
            .map(|line| merkle::leaf(line))
            .collect();
        let last = &self.lines[size - 1];
        // Only the newest head speaks of the helper's lines.
        let helper: &[Line] = match size == self.lines.len() {
            true => &self.helper_lines,
            false => &[],
        };
        let last_hash = |line: &Line| canonical::digest(&line.to_bytes().unwrap());
        let head = TreeHead {
            ledger_id: last.ledger_id,
            generation: last.generation,
            size: size as u64,
            root: merkle::root(&leaves),
            helper_size: helper.len() as u64,
            helper_last_hash: helper.last().map_or(Digest([0; 32]), last_hash),
        };
        SignedHead {
            coordinator_signature: head::sign(&head, &self.coordinator).unwrap(),
            helper_signature: head::sign(&head, &self.helper).unwrap(),
            head,
        }
    }

    /// Writes the whole export.
    pub(crate) fn write(&self, dir: &Path) {
        fs::create_dir_all(dir.join("heads")).unwrap();
        fs::create_dir_all(dir.join("models")).unwrap();
        let helper: Vec<Vec<u8>> = self
            .helper_lines
            .iter()
            .map(|line| line.to_bytes().unwrap())
            .collect();
        let signatures = helper.iter().map(|line| {
            self.helper
                .sign(Context::Line, line)
                .to_string()
                .into_bytes()
        });
        write_lines(dir, "ledger.jsonl", &self.bytes());
        write_lines(dir, "helper.sig", &signatures.collect::<Vec<_>>());
        write_lines(dir, "helper.jsonl", &helper);
        let (coordinator, helper) = (self.coordinator.public(), self.helper.public());
        fs::write(
            dir.join("keys.json"),
            canonical::encode(&tacit_audit::Keys {
                coordinator,
                helper,
            })
            .unwrap(),
        )
        .unwrap();
        for size in 1..=self.lines.len() {
            self.write_head(dir, size);
        }
        fs::create_dir_all(dir.join("tickets")).unwrap();
        for ticket in &self.tickets {
            let file = canonical::encode(&TicketFile::from(ticket)).unwrap();
            fs::write(dir.join(format!("tickets/{}.json", ticket.hash())), file).unwrap();
        }
        for model in &self.models {
            fs::write(
                dir.join(format!("models/{}.bin", canonical::digest(model))),
                model,
            )
            .unwrap();
        }
    }

    pub(crate) fn write_head(&self, dir: &Path, size: usize) {
        fs::write(
            head_file(dir, size),
            canonical::encode(&self.signed_head(size)).unwrap(),
        )
        .unwrap();
    }
}

pub(crate) fn head_file(dir: &Path, size: usize) -> std::path::PathBuf {
    dir.join(format!("heads/{size:08}.json"))
}

pub(crate) fn write_lines(dir: &Path, name: &str, lines: &[Vec<u8>]) {
    let bytes: Vec<u8> = lines
        .iter()
        .flat_map(|line| [&line[..], b"\n"].concat())
        .collect();
    fs::write(dir.join(name), bytes).unwrap();
}

fn charge_mut(line: &mut Line) -> Option<&mut Charge> {
    match &mut line.event {
        Event::Release(release) => Some(&mut release.charge),
        Event::Abandoned(abandoned) => Some(&mut abandoned.charge),
        _ => None,
    }
}

fn chain(lines: &mut [Line]) {
    let mut last = Digest([0; 32]);
    for line in lines {
        line.prev_hash = last;
        last = canonical::digest(&line.to_bytes().unwrap());
    }
}
