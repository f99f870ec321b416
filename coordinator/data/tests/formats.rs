//! Small files of every known format, loaded as documented.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tacit_data::{Dataset, LoadOptions, Split, load};
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_types::{ItemId, Timestamp};
use tempfile::TempDir;

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn load_all(path: &Path) -> Dataset {
    load(path, &LoadOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn keys(data: &Dataset) -> Vec<&str> {
    data.items
        .iter()
        .map(|item| item.key.as_str())
        .collect()
}

fn ids(of: &[Interaction]) -> Vec<u32> {
    of.iter()
        .map(|interaction| interaction.item.0)
        .collect()
}

#[test]
fn own_csv_is_read_with_any_column_order_and_every_default() {
    let csv = "type,value,timestamp,item,user\n\
               rating,4.5,100,a,anna\n\
               ,,200,\"b, c\",anna\n\
               ,3,50,a,ben\n\
               rating,,60,d,ben\n\
               purchase,2,,d,cleo\n\
               view,,10,a,cleo\n";
    let folder = folder(&[
        ("interactions.csv", csv.as_bytes()),
        ("t.csv", b"user,item\nben,z\nben,z\n"),
    ]);
    let options = LoadOptions {
        test: Some(folder.path().join("t.csv")),
        ..LoadOptions::default()
    };
    let data = load(folder.path(), &options).unwrap();
    assert_eq!(keys(&data), ["a", "b, c", "d", "z"]);
    let seen: Vec<_> = data
        .users
        .iter()
        .flatten()
        .map(|i| (i.item.0, i.timestamp, i.value, i.kind))
        .collect();
    let at = |seconds: u64| Some(Timestamp(seconds * 1000));
    assert_eq!(
        seen,
        [
            (0, at(100), 4.5, InteractionKind::Rating),
            (1, at(200), 1.0, InteractionKind::View),
            (0, at(50), 3.0, InteractionKind::Rating),
            (2, at(60), 1.0, InteractionKind::View),
            (2, None, 2.0, InteractionKind::Purchase),
            (0, None, 1.0, InteractionKind::View),
        ]
    );
    assert_eq!(data.test, [vec![], vec![ItemId(3)], vec![]]);
    assert_eq!(data.interaction_count(), 6);
    assert_eq!(data.negatives, None);
}

#[test]
fn windows_files_compressed_files_and_single_files_give_the_same_data() {
    let lines =
        "user,item,timestamp,value,type\n1,7,30,,click\n1,8,20,,view\n1,7,10,,view\n2,8,5,,cart\n";
    let windows = format!("\u{feff}{}", lines.replace('\n', "\r\n"));
    let plain = folder(&[("interactions.csv", lines.as_bytes())]);
    let expected = load_all(plain.path());
    assert_eq!(
        expected.test,
        [vec![ItemId(0)], vec![]],
        "the held-out item leaves with all its lines"
    );
    assert_eq!(
        expected
            .users
            .iter()
            .map(|of| ids(of))
            .collect::<Vec<_>>(),
        [vec![1], vec![1]]
    );
    let others = folder(&[
        ("windows.csv", windows.as_bytes()),
        ("small.csv.gz", &gz(lines.as_bytes())),
        (
            "twice.csv.gz",
            &[gz(&lines.as_bytes()[..40]), gz(&lines.as_bytes()[40..])].concat(),
        ),
    ]);
    for name in ["windows.csv", "small.csv.gz", "twice.csv.gz"] {
        let data = load_all(&others.path().join(name));
        assert_eq!(
            (&data.items, &data.users, &data.test),
            (&expected.items, &expected.users, &expected.test),
            "{name}"
        );
        assert_eq!(Some(data.name.as_str()), name.split('.').next());
    }
}

#[test]
fn published_test_and_negatives_extend_the_catalogue_and_obey_the_user_limit() {
    let negatives = |user: &str, first: usize| {
        let items: Vec<_> = (first..first + 99).map(|n| n.to_string()).collect();
        format!("{user},{}\n", items.join(","))
    };
    let header = (1..=99).fold("user".to_owned(), |header, n| format!("{header},n{n}"));
    let rows = [negatives("b", 2000), negatives("a", 1000)].concat();
    let folder = folder(&[
        (
            "interactions.csv",
            b"user,item,timestamp,value,type\na,1,,,\nb,2,,,\nb,3,,,\na,9,,,\n",
        ),
        ("ncf_test.csv", b"user,item\na,9\nb,8\n"),
        (
            "ncf_negatives.csv.gz",
            &gz(format!("{header}\n{rows}").as_bytes()),
        ),
        ("other.csv", b"user,item\nb,3\n"),
        (
            "movies.dat.gz",
            &gz(b"1::Caf\xe9 (1999)::Comedy|War\n77::Elsewhere (1980)::Drama\n"),
        ),
    ]);
    let data = load_all(folder.path());
    assert_eq!(keys(&data)[..6], ["1", "2", "3", "9", "8", "2000"]);
    assert_eq!(data.items.len(), 5 + 2 * 99);
    assert_eq!(
        data.users.iter().map(|of| ids(of)).collect::<Vec<_>>(),
        [vec![0], vec![1, 2]]
    );
    assert_eq!(data.test, [[ItemId(3)], [ItemId(4)]]);
    assert!(data.negatives.unwrap().iter().all(|of| of.len() == 99));
    assert_eq!(
        (data.items[0].title.as_str(), data.items[1].title.as_str()),
        ("Café (1999)", "2")
    );
    assert_eq!(data.items[0].categories, ["Comedy", "War"]);

    let first = load(
        folder.path(),
        &LoadOptions {
            users: Some(1),
            ..LoadOptions::default()
        },
    )
    .unwrap();
    assert_eq!(
        (
            first.users.len(),
            first.test.len(),
            first.negatives.as_ref().map(Vec::len)
        ),
        (1, 1, Some(1))
    );
    assert_eq!(keys(&first)[..3], ["1", "9", "1000"]);

    let named = LoadOptions {
        test: Some(folder.path().join("ncf_test.csv")),
        ..LoadOptions::default()
    };
    assert!(
        load(folder.path(), &named)
            .unwrap()
            .negatives
            .is_some()
    );
    let other = LoadOptions {
        test: Some(folder.path().join("other.csv")),
        ..LoadOptions::default()
    };
    let other = load(folder.path(), &other).unwrap();
    assert_eq!(
        (other.negatives, &other.test[1][..]),
        (None, &[ItemId(2)][..])
    );
}

#[test]
fn movielens_folders_are_recognised() {
    let u_data = b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n196\t1\t5\t881250950\n";
    let u_item = b"242|Kolya (1996)|24-Jan-1997||http://x|0|0|1\n\
                   302|L\xe9on|||http://x|1|0|0\n\
                   1|unknown||||1|1|0\n";
    let hundred_k = folder(&[
        ("u.data", u_data),
        ("u.item", u_item),
        ("u.genre", b"unknown|0\nAction|1\nComedy|2\n\n"),
    ]);
    let data = load_all(hundred_k.path());
    assert_eq!(keys(&data), ["242", "302", "1"]);
    assert_eq!(data.test, [vec![ItemId(2)], vec![]]);
    let titled: Vec<_> = data
        .items
        .iter()
        .map(|item| (item.title.as_str(), item.categories.join("+")))
        .collect();
    assert_eq!(
        titled,
        [
            ("Kolya (1996)", "Comedy".into()),
            ("Léon", String::new()),
            ("unknown", "Action".into())
        ]
    );

    let million = folder(&[(
        "ratings.dat.gz",
        &gz(b"1::1193::5::978300760\n1::661::3::978302109\n"),
    )]);
    let data = load_all(million.path());
    assert_eq!(
        (keys(&data), &data.test),
        (vec!["1193", "661"], &vec![vec![ItemId(1)]])
    );

    let latest = folder(&[
        (
            "ratings.csv",
            b"userId,movieId,rating,timestamp\n1,11,4.5,964982703\n1,3,4.0,964981247\n",
        ),
        (
            "movies.csv",
            b"movieId,title,genres\n11,\"American President, The (1995)\",Comedy|Drama\n3,X,(no \
              genres listed)\n",
        ),
    ]);
    let data = load_all(latest.path());
    assert_eq!(data.items[0].title, "American President, The (1995)");
    assert_eq!(
        (
            data.items[0].categories.len(),
            data.items[1].categories.len()
        ),
        (2, 0)
    );
    assert_eq!(data.users[0][0].value, 4.0);
}

#[test]
fn fewer_users_are_what_a_file_of_only_these_users_gives() {
    let row = |(user, item): (u32, u32)| format!("u{user},i{},,,\n", (item * 7 + user) % 31);
    let all = |users: u32| -> String {
        let rows = (0..20)
            .flat_map(|item| (0..users).map(move |user| (user, item)))
            .map(row);
        std::iter::once("user,item,timestamp,value,type\n".to_owned())
            .chain(rows)
            .collect()
    };
    let few = folder(&[("x.csv", all(3).as_bytes())]);
    let many = folder(&[("x.csv", all(9).as_bytes())]);
    let options = LoadOptions {
        users: Some(3),
        seed: 5,
        ..LoadOptions::default()
    };
    let limited = load(&many.path().join("x.csv"), &options).unwrap();
    assert_eq!(limited, load(&few.path().join("x.csv"), &options).unwrap());
    assert!(limited.test.iter().all(|of| of.len() == 4));
}

#[test]
fn one_item_and_one_user_are_a_data_set_too() {
    // HOSTILE 120: everything is one item.
    let folder = folder(&[(
        "interactions.csv",
        b"user,item,timestamp,value,type\na,x,1,,\na,x,2,,\nb,x,3,,\n",
    )]);
    let data = load_all(folder.path());
    assert_eq!((data.items.len(), data.interaction_count()), (1, 3));
    assert!(data.test.iter().all(Vec::is_empty));
}

/// The three files of a shop, and the same in an archive with a folder in it.
fn shop() -> [(&'static str, &'static [u8]); 3] {
    [
        (
            "view_ecommerce.dat",
            b"visitorid\titemid\tevent\n1\t5\t1\n1\t6\t1\n2\t5\t1\n",
        ),
        (
            "add_to_cart_ecommerce.dat",
            b"visitorid\titemid\tevent\n1\t6\t1\n",
        ),
        (
            "purchase_ecommerce.dat",
            b"visitorid\titemid\tevent\n1\t6\t1\n3\t7\t1\n",
        ),
    ]
}

#[test]
fn a_shop_is_read_from_its_files_and_from_the_archive_alike() {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in shop() {
        archive
            .start_file(
                format!("../Shop/{name}"),
                zip::write::SimpleFileOptions::default(),
            )
            .unwrap();
        archive.write_all(content).unwrap();
    }
    let packed = archive.finish().unwrap().into_inner();
    let (plain, packed) = (
        folder(&shop()),
        folder(&[("Retailrocket_Ecommerce.zip", &packed)]),
    );
    let everything = LoadOptions {
        split: Split::Nothing,
        ..LoadOptions::default()
    };
    let [plain, packed] = [&plain, &packed].map(|folder| load(folder.path(), &everything).unwrap());
    assert_eq!(
        (&plain.items, &plain.users, &plain.test),
        (&packed.items, &packed.users, &packed.test)
    );
    assert_eq!(keys(&plain), ["5", "6", "7"]);
    use InteractionKind::{Cart, Purchase, View};
    let did: Vec<Vec<_>> = plain
        .users
        .iter()
        .map(|user| user.iter().map(|one| (one.item.0, one.kind)).collect())
        .collect();
    assert_eq!(
        did,
        [
            vec![(0, View), (1, View), (1, Cart), (1, Purchase)],
            vec![(0, View)],
            vec![(2, Purchase)]
        ]
    );
    assert!(
        plain
            .users
            .iter()
            .flatten()
            .all(|one| one.timestamp.is_none())
    );
}
