//! Public data sets in the shape in which they are published, made small: each loads as it is.
//! `tests/DATA.md` lists them, each with its command. HOSTILE 118.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::io::Write;
use std::path::Path;

use tacit_data::{Dataset, LoadOptions, Split, load};
use tacit_model::history::interaction::InteractionKind;
use tempfile::TempDir;

/// Files of a data set, and what is in them.
struct Shape {
    name: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    users: usize,
    /// Keys of the items, in order of appearance.
    items: &'static [&'static str],
    /// Title of the first item, and its categories.
    title: &'static str,
    categories: &'static [&'static str],
    /// Scale of the ratings, if there are any.
    scale: Option<[f64; 2]>,
}

fn shape(
    name: &'static str,
    files: &[(&'static str, &str)],
    items: &'static [&'static str],
) -> Shape {
    Shape {
        name,
        files: files
            .iter()
            .map(|(name, text)| (*name, text.as_bytes().to_vec()))
            .collect(),
        users: 2,
        items,
        title: items[0],
        categories: &[],
        scale: Some([1.0, 5.0]),
    }
}

fn movielens() -> Vec<Shape> {
    let latin1 = |text: &str| {
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect()
    };
    let ten_million = "1::122::5::838985046\n2::185::0.5::838983525\n";
    vec![
        Shape {
            title: "Léon (1994)",
            categories: &["Action"],
            files: vec![
                (
                    "u.data",
                    b"1\t242\t5\t881250949\n2\t302\t1\t891717742\n".to_vec(),
                ),
                ("u.genre", b"unknown|0\nAction|1\n".to_vec()),
                ("u.item", latin1("242|Léon (1994)|1994||http://x|0|1\n")),
            ],
            ..shape("MovieLens 100K", &[], &["242", "302"])
        },
        Shape {
            title: "Café (1999)",
            categories: &["Drama", "War"],
            files: vec![
                (
                    "ratings.dat",
                    b"1::10::5::978300760\n2::11::1::978302109\n".to_vec(),
                ),
                ("movies.dat", latin1("10::Café (1999)::Drama|War\n")),
            ],
            ..shape("MovieLens 1M, titles in Latin-1", &[], &["10", "11"])
        },
        Shape {
            title: "Cold Fever (Á köldum klaka) (1995)",
            scale: Some([0.5, 5.0]),
            categories: &["Comedy"],
            ..shape(
                "MovieLens 10M, titles in UTF-8 and with colons",
                &[
                    ("ratings.dat", ten_million),
                    (
                        "movies.dat",
                        "122::Cold Fever (Á köldum klaka) (1995)::Comedy\n185::Net: The::x\n",
                    ),
                    ("tags.dat", "1::122::fun::838985046\n"),
                ],
                &["122", "185"],
            )
        },
        Shape {
            title: "American President, The (1995)",
            categories: &["Comedy", "Drama"],
            scale: Some([3.5, 4.0]),
            ..shape(
                "MovieLens 20M, 25M, 32M and latest",
                &[
                    (
                        "ratings.csv",
                        "userId,movieId,rating,timestamp\n1,11,3.5,1112486027\n2,3,4.0,964981247\n",
                    ),
                    (
                        "movies.csv",
                        "movieId,title,genres\n\
                         11,\"American President, The (1995)\",Comedy|Drama\n",
                    ),
                    (
                        "tags.csv",
                        "userId,movieId,tag,timestamp\n1,11,x,1112486027\n",
                    ),
                ],
                &["11", "3"],
            )
        },
    ]
}

fn shops_and_music() -> Vec<Shape> {
    let reviews = "Id,ProductId,UserId,Score,Time,Text\n\
                   1,B001,A3SG,5,1303862400,\"Good, \"\"really\"\"\nand cheap\"\n\
                   2,B002,A1D8,1,1346976000,no\n";
    vec![
        Shape {
            title: "MALICE MIZER",
            scale: None,
            ..shape(
                "HetRec Last.fm",
                &[
                    (
                        "user_artists.dat",
                        "userID\tartistID\tweight\r\n2\t51\t13883\r\n3\t52\t11690\r\n",
                    ),
                    (
                        "artists.dat",
                        "id\tname\turl\tpictureURL\n51\tMALICE MIZER\thttp://x\thttp://y\n",
                    ),
                ],
                &["51", "52"],
            )
        },
        shape(
            "Amazon 2023, ratings only",
            &[(
                "Books.csv",
                "user_id,parent_asin,rating,timestamp\nAE2,B0B,5.0,1677939345945\n\
                 AE3,B0C,1.0,1519317108692\n",
            )],
            &["B0B", "B0C"],
        ),
        shape(
            "Amazon fine foods, with texts",
            &[("Reviews.csv", reviews)],
            &["B001", "B002"],
        ),
        Shape {
            scale: None,
            ..shape(
                "RetailRocket events",
                &[(
                    "events.csv",
                    "timestamp,visitorid,event,itemid,transactionid\n\
                     1433221332117,257597,view,355908,\n\
                     1433224214164,992329,addtocart,248676,\n",
                )],
                &["355908", "248676"],
            )
        },
    ]
}

fn books_and_jokes() -> Vec<Shape> {
    let crossing = "\"User-ID\";\"ISBN\";\"Book-Rating\"\r\n\"276725\";\"034545104X\";\"0\"\r\n\
                    \"276726\";\"0155061224\";\"5\"\r\n\"276726\";\"034545104X\";\"10\"\r\n";
    let books = b"\"ISBN\";\"Book-Title\";\"Book-Author\"\r\n\
                  \"034545104X\";\"Flesh \\\"Tones\\\" caf\xe9\";\"M. J. Rose\"\r\n";
    vec![
        Shape {
            title: "Flesh \"Tones\" café",
            scale: Some([5.0, 10.0]),
            files: vec![
                ("BX-Book-Ratings.csv", crossing.as_bytes().to_vec()),
                ("BX-Books.csv", books.to_vec()),
                (
                    "BX-Users.csv",
                    b"\"User-ID\";\"Location\";\"Age\"\r\n".to_vec(),
                ),
            ],
            ..shape("Book-Crossing", &[], &["034545104X", "0155061224"])
        },
        Shape {
            title: "Harry Potter",
            ..shape(
                "Goodbooks",
                &[
                    ("ratings.csv", "user_id,book_id,rating\n1,258,5\n2,4081,1\n"),
                    (
                        "books.csv",
                        "book_id,goodreads_book_id,title,ratings_count\n258,2767,Harry Potter,9\n",
                    ),
                    ("to_read.csv", "user_id,book_id\n9,8\n"),
                ],
                &["258", "4081"],
            )
        },
        Shape {
            scale: Some([-9.281, 10.0]),
            ..shape(
                "Jester, lines",
                &[("jester_ratings.dat", "1\t\t5\t\t10.000\n2\t\t7\t\t-9.281\n")],
                &["5", "7"],
            )
        },
        Shape {
            scale: Some([-7.82, 8.79]),
            ..shape(
                "Jester, matrix",
                &[("jester-data-1.csv", "2,-7.82,8.79,99\n1,99,99,4.5\n")],
                &["1", "2", "3"],
            )
        },
        Shape {
            title: "Toy Story",
            categories: &["Animation", "Comedy"],
            ..shape(
                "RecBole",
                &[
                    (
                        "ml.inter",
                        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n\
                         1\t10\t5\t881250949\n2\t11\t1\t881250950\n",
                    ),
                    (
                        "ml.item",
                        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n\
                         10\tToy Story\tAnimation Comedy\n",
                    ),
                ],
                &["10", "11"],
            )
        },
    ]
}

fn everything(path: &Path) -> Dataset {
    let options = LoadOptions {
        split: Split::Nothing,
        ..LoadOptions::default()
    };
    load(path, &options).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn packed(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        let options = zip::write::SimpleFileOptions::default();
        archive
            .start_file(format!("set/{name}"), options)
            .unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn published_shapes_load_from_a_folder_an_archive_and_their_file() {
    for shape in [movielens(), shops_and_music(), books_and_jokes()]
        .into_iter()
        .flatten()
    {
        let folder = TempDir::new().unwrap();
        for (name, content) in &shape.files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let data = everything(folder.path());
        let keys: Vec<_> = data
            .items
            .iter()
            .map(|item| item.key.as_str())
            .collect();
        assert_eq!(
            (data.users.len(), &keys[..]),
            (shape.users, shape.items),
            "{}",
            shape.name
        );
        assert_eq!(data.items[0].title, shape.title, "{}", shape.name);
        assert_eq!(data.items[0].categories, shape.categories, "{}", shape.name);
        assert_eq!(data.reading.scale, shape.scale, "{}", shape.name);

        let downloads = TempDir::new().unwrap();
        let archive = downloads.path().join("set.zip");
        fs::write(&archive, packed(&shape.files)).unwrap();
        fs::write(downloads.path().join("README"), "cite us").unwrap();
        let unpacked = everything(downloads.path());
        assert_eq!(
            (&unpacked.items, &unpacked.users),
            (&data.items, &data.users),
            "{}",
            shape.name
        );
        let alone = everything(&folder.path().join(shape.files[0].0));
        assert_eq!(alone.users, data.users, "{} as one file", shape.name);
    }
}

#[test]
fn a_play_count_and_a_rating_of_zero_are_uses_and_no_ratings() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.csv");
    let of = |text: &str| {
        fs::write(&path, text).unwrap();
        everything(&path).users[0][0]
    };
    let played = of("user,artist_id,plays\na,b,13883\n");
    assert_eq!(
        (played.kind, played.value),
        (InteractionKind::View, 13_883.0)
    );
    let zero = of("User-ID;ISBN;Book-Rating\na;b;0\n");
    assert_eq!((zero.kind, zero.value), (InteractionKind::View, 1.0));
}
