//! The valid part of each corpus: inputs that reach the end of their target, and near misses that
//! reach the last check.

use bytes::Bytes;
use prost::Message;
use tacit_model::family::rating::{RatingModel, Scale};
use tacit_model::family::recipe::Recipe;
use tacit_model::family::spectral::server::{apply_counts, random_init};
use tacit_model::family::weighted::WeightedTerms;
use tacit_model::release::{OpenedSum, Step};
use tacit_model::{Features, Model, SpectralModel, family::neural};
use tacit_privacy::canonical;
use tacit_proto::v2;
use tacit_proto::v2::check_in_response::Selection;
use tacit_proto::v2::contribute_request::Part;
use tacit_round::ticket::Ticket;
use tacit_types::{Kind, RoundId};

use super::parties;

/// One file of a corpus.
pub struct Seed {
    /// Name of the target.
    pub target: &'static str,
    /// Name of the file.
    pub name: &'static str,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// All seeds, the same bytes at every call.
///
/// # Panics
/// Never: everything is built from fixed values.
pub fn seeds() -> Vec<Seed> {
    let all = [
        ("config", configs()),
        ("csv", data_sets()),
        ("ledger_line", lines()),
        ("model", models()),
        ("policy", policies()),
        ("sealed_seed", sealed_seeds()),
        ("ticket", tickets()),
        ("tree_head", tree_heads()),
        ("wire", messages()),
    ];
    let named = |(target, seeds): (&'static str, Vec<(&'static str, Vec<u8>)>)| {
        seeds.into_iter().map(move |(name, bytes)| Seed {
            target,
            name,
            bytes,
        })
    };
    all.into_iter().flat_map(named).collect()
}

type Named = Vec<(&'static str, Vec<u8>)>;

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    canonical::encode(value).expect("built from fixed values")
}

fn tickets() -> Named {
    let good = parties::ticket();
    let change = |edit: fn(&mut Ticket)| {
        let mut ticket = good.clone();
        edit(&mut ticket);
        json(&ticket)
    };
    vec![
        ("good", json(&good)),
        ("draft", change(|ticket| ticket.sealing_key.clear())),
        (
            "genesis_model",
            change(|ticket| {
                ticket.logged = parties::logged(0);
                ticket.model_in_hash = tacit_types::Digest([16; 32]);
            }),
        ),
        (
            "line_without_model",
            change(|ticket| ticket.logged = parties::logged(2)),
        ),
        ("late_round", change(|ticket| ticket.round = RoundId(9))),
        (
            "all_dishonest",
            change(|ticket| ticket.dishonest_milli = 1000),
        ),
        (
            "largest_numbers",
            change(|ticket| {
                let mechanism = &mut ticket.mechanism;
                (mechanism.steps, mechanism.nnz_max, mechanism.sigma2) =
                    (u32::MAX, u32::MAX, u64::MAX);
            }),
        ),
    ]
}

fn policies() -> Named {
    let policy = parties::policy();
    let mut unsigned = parties::signed_policy();
    unsigned.signature.0[0] ^= 1;
    vec![
        ("signed", json(&parties::signed_policy())),
        ("wrong_signature", json(&unsigned)),
        ("policy", json(&policy)),
        (
            "no_budget",
            json(&tacit_round::policy::Policy {
                rho_release_max: tacit_privacy::Rho::ZERO,
                ..policy
            }),
        ),
    ]
}

fn lines() -> Named {
    let names = [
        "genesis",
        "release",
        "restarted",
        "abandoned",
        "empty",
        "restored",
        "countersigned",
        "answered",
    ];
    names.into_iter().zip(parties::lines()).collect()
}

fn sealed_seeds() -> Named {
    let sealed = parties::SEALED.clone();
    let binding = parties::binding();
    let fields = [
        &binding.round.0.to_le_bytes()[..],
        &binding.ticket.0,
        &binding.length.to_le_bytes(),
        &binding.contribution.0,
        &binding.commitment.0,
    ]
    .concat();
    let bound = |task: &str| [&sealed, &fields, task.as_bytes()].concat();
    vec![
        ("genuine", sealed.clone()),
        ("genuine_bound", bound("films")),
        ("other_task", bound("books")),
        ("sealing_key", parties::OPENING.sealing_key()),
    ]
}

fn tree_heads() -> Named {
    let proof = |index: u64, size: u64| {
        let siblings = parties::logged(0).proof;
        let siblings: Vec<u8> = siblings.iter().flat_map(|hash| hash.0).collect();
        [&index.to_le_bytes()[..], &size.to_le_bytes(), &siblings].concat()
    };
    vec![
        ("head", json(&parties::tree_head())),
        (
            "signed_head",
            json(&parties::sign_head(parties::tree_head())),
        ),
        ("first_line", json(&parties::logged(0))),
        ("last_line", json(&parties::logged(4))),
        ("proof", proof(0, 5)),
        ("proof_of_another_place", proof(1, 5)),
        ("proof_in_a_huge_tree", proof(u64::MAX - 1, u64::MAX)),
    ]
}

fn models() -> Named {
    let recipe = Recipe::for_signal(400.0, 30).expect("a signal this strong trains factors");
    let recipe = Recipe {
        head: 5,
        factors: 3,
        coverage: 0.8,
        ..recipe
    };
    let sum: Vec<f64> = (0..30).map(|item| f64::from(item * 7 % 30)).collect();
    let counted = apply_counts(&sum, 1.0, &recipe);
    let weighted = Model::weighted_start(
        &random_init(&counted, &recipe, 11),
        WeightedTerms::default(),
    );
    let step = Step {
        recipe: &Recipe {
            head: 0,
            coverage: 1.0,
            ..recipe.clone()
        },
        first: true,
        next: None,
        features: None,
        seed: 11,
        in_doubt: false,
    };
    let opened = OpenedSum {
        kind: Kind::RatingBias,
        sum: [sum.clone(), sum.clone()].concat(),
        noise_std: 1.0,
        contributors: 40,
    };
    let rating = Model::Rating(RatingModel::genesis(30, Scale::STARS)).step(&opened, &step);
    let categories: Vec<Vec<String>> = (0..30)
        .map(|item| vec![format!("{}", item % 4)])
        .collect();
    let features = Features::from_categories(&categories).expect("four categories");
    let neural = Model::Neural(neural::server::start(&counted, &features, &recipe, 11));
    let rating = rating.expect("two numbers an item are a sum of rating vectors");
    vec![
        ("genesis", SpectralModel::genesis(3).to_bytes()),
        ("one_item", SpectralModel::genesis(1).to_bytes()),
        ("trained", random_init(&counted, &recipe, 11).to_bytes()),
        ("counted", counted.to_bytes()),
        ("weighted", weighted.to_bytes()),
        ("rating", rating.to_bytes()),
        ("neural", neural.to_bytes()),
        (
            "rating_genesis",
            Model::Rating(RatingModel::genesis(2, Scale::STARS)).to_bytes(),
        ),
    ]
}

fn data_sets() -> Named {
    let negatives: String = (1..=99).map(|n| format!(",n{n}")).collect();
    let items: String = (1..=99).map(|n| format!(",x{n}")).collect();
    let own = "== interactions.csv\n\
               user,item,timestamp,value,type\n\
               anna,a,978824268,5,rating\n\
               anna,\"b, too\",,,view\n\
               ben,a,978824301,2,purchase\n";
    let test = format!(
        "{own}\
         == ncf_test.csv\n\
         user,item\n\
         anna,c\n\
         == ncf_negatives.csv\n\
         user{negatives}\n\
         anna{items}\n"
    );
    let marked = "== interactions.csv\n\
                  \u{feff}user,item,timestamp,value,type\r\n\r\n\
                  1,2,0,-1e6,\r\n";
    let movielens_100k = "== u.data\n\
                          196\t242\t3\t881250949\n\
                          196\t302\t3\t891717742\n\
                          == u.item\n\
                          242|Kolya (1996)|24-Jan-1997||x|0|1\n\
                          == u.genre\n\
                          unknown|0\n\
                          Comedy|1\n";
    let movielens_1m = "== ratings.dat\n\
                        1::1193::5::978300760\n\
                        1::661::3::978302109\n\
                        == movies.dat\n\
                        661::James (1996)::Animation|Musical\n";
    let movielens_latest = "== ratings.csv\n\
                            userId,movieId,rating,timestamp\n\
                            1,1,4.0,964982703\n\
                            == movies.csv\n\
                            movieId,title,genres\n\
                            1,\"Toy Story, The (1995)\",Adventure|Comedy\n";
    let out_of_range = "== interactions.csv\n\
                        user,item,timestamp,value,type\n\
                        -1,9223372036854775808,4102444800,1e400,like\n";
    let texts = [
        ("own", own.to_owned()),
        ("own_with_test", test),
        ("mark_and_windows_ends", marked.into()),
        ("movielens_100k", movielens_100k.into()),
        ("movielens_1m", movielens_1m.into()),
        ("movielens_latest", movielens_latest.into()),
        ("out_of_range", out_of_range.into()),
    ];
    let mut files: Named = texts
        .into_iter()
        .map(|(name, text)| (name, text.into_bytes()))
        .collect();
    let rows = own
        .split_once('\n')
        .map_or(own, |(_, rows)| rows)
        .as_bytes();
    files.push((
        "compressed",
        [b"== interactions.csv.gz\n", &stored_gzip(rows)[..]].concat(),
    ));
    files
}

/// A gzip file whose one block is stored: no compressor whose next version would give other bytes.
fn stored_gzip(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a few lines");
    let crc = content.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    });
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    file.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
    file.extend_from_slice(content);
    file.extend([(!crc).to_le_bytes(), u32::from(length).to_le_bytes()].concat());
    file
}

fn configs() -> Named {
    let key = parties::HELPER.public();
    let tls = "[tls]\ncertificate = \"a.crt\"\nkey = \"a.key\"\nroot = \
               \"root.crt\"\n[signing]\nkey = \"a.sign\"\n";
    let coordinator = format!(
        "listen = \"127.0.0.1:7500\"\nstate = \"s\"\n{tls}[helper]\naddress = \
         \"https://h:7501\"\nserver_name = \"h\"\n\
         identity_key = \"{key}\"\n[enrolment]\ncertificate = \"i.crt\"\nkey = \"i.key\"\ntokens = \
         \"t\"\n[task]\n\
         name = \"films\"\ncatalogue = \"c.txt\"\nepsilon = 1.0\ndelta = 1e-5\ncohort = \
         100\nrounds = 3\nfactors = 8\n"
    );
    let helper = format!(
        "listen = \"127.0.0.1:7501\"\nstate = \"s\"\ncoordinator_key = \"{key}\"\nhonest_min = \
         2\n{tls}"
    );
    vec![
        (
            "unknown_key",
            coordinator.replace("cohort", "cohrt").into_bytes(),
        ),
        (
            "no_dropout",
            coordinator
                .replace("rounds = 3", "dropout = nan")
                .into_bytes(),
        ),
        (
            "address_on_two_lines",
            helper
                .replace("\"127.0.0.1:7501\"", "\"\"\"a\nb\"\"\"")
                .into_bytes(),
        ),
        (
            "nested",
            "a = "
                .to_owned()
                .into_bytes()
                .into_iter()
                .chain([b'['; 300])
                .collect(),
        ),
        ("coordinator", coordinator.into_bytes()),
        ("helper", helper.into_bytes()),
    ]
}

fn messages() -> Named {
    let sealed = Bytes::from(parties::SEALED.clone());
    let (hash, name) = (Bytes::from_static(&[1; 32]), Bytes::from_static(&[2; 16]));
    let header = v2::ContributionHeader {
        scheme_id: 2,
        ticket_hash: hash.clone(),
        contribution_id: name.clone(),
        sealed_seed: sealed.clone(),
        commitment: hash.clone(),
        commitment_key: hash.clone(),
    };
    let seed = v2::SealedSeed {
        contribution_id: name,
        sealed_seed: sealed,
        commitment: hash.clone(),
    };
    let signature = Bytes::from_static(&[3; 64]);
    let ticket = v2::SignedTicket {
        ticket: Bytes::from_static(b"{}"),
        coordinator_signature: signature.clone(),
        helper_signature: signature,
    };
    let check_in = v2::CheckInResponse {
        selection: Some(Selection::Lease(v2::Lease {
            ticket: Some(ticket),
            send_after_ms: 1000,
            valid_ms: 60_000,
        })),
        retry_after_ms: u64::MAX,
        model_hash: hash.clone(),
        catalogue_hash: hash.clone(),
        finished: true,
        rho_counted: Bytes::from_static(&[0; 16]),
        model_logged: Bytes::from_static(b"{}"),
        genesis_logged: Bytes::from_static(b"{}"),
        policy: Bytes::from_static(b"{}"),
    };
    let contribute = |part| v2::ContributeRequest { part: Some(part) }.encode_to_vec();
    vec![
        ("header", header.encode_to_vec()),
        ("contribute_header", contribute(Part::Header(header))),
        (
            "contribute_chunk",
            contribute(Part::Chunk(Bytes::from_static(&[0, 0, 0, 128]))),
        ),
        (
            "admit",
            v2::AdmitRequest {
                ticket_hash: hash,
                seeds: vec![seed.clone(), seed],
            }
            .encode_to_vec(),
        ),
        ("check_in", check_in.encode_to_vec()),
        ("overlong_number", [&[8][..], &[0x80; 10], &[1]].concat()),
        ("nested_groups", vec![0x0b; 300]),
    ]
}
