//! The vectors of ELC1: texts that are read as these presentations, and texts that are refused.
//!
//! `elc1.json` is written by this file under `UPDATE_EXPECT=1`, from fixed seeds. An encoder may
//! compress as it likes, so the texts in the file need not be those that a later library makes:
//! what is tested is that they are read, and that the presentations are carried exactly. An
//! outsider reads the file with `docs/spec/elc1.md` beside it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{fs, sync::LazyLock};

use flate2::{Compress, Compression, FlushCompress};
use serde_json::{Value, json};
use symbolon_credential::{
    elc1::{DICTIONARY, MAX_TEXT_LEN, PREFIX, decode, encode},
    encoding::to_base64url,
    sd_jwt::Parsed,
};
use symbolon_genesis::presets::catalogue;
use symbolon_ledger::{
    hash::{Digest, sha256},
    keys::PublicKey,
};
use symbolon_tests::{elc1::samples::Sample, sim::dice::Dice};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/elc1.json");
/// The catalogue entries of the good vectors: a person's, one with an identifier, a firm's.
const TYPES: [&str; 3] =
    ["local:driving-licence", "11100000000013338W011", "11100000MB0143028R001"];
/// RFC 9285, sections 4.3 and 4.4, and the bounds of the last group.
const BASE45: [(&str, &str); 6] = [
    ("AB", "BB8"),
    ("Hello!!", "%69 VD92EX0"),
    ("base-45", "UJCLQE7W581"),
    ("ietf!", "QED8WEX0"),
    ("\u{0}", "00"),
    ("\u{0}\u{0}", "000"),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn stream(json: &[u8], level: u32, dictionary: bool) -> Vec<u8> {
    let mut compressor = Compress::new(Compression::new(level), false);
    if dictionary {
        compressor.set_dictionary(DICTIONARY).unwrap();
    }
    let mut stream = Vec::with_capacity(json.len() + 1_000);
    compressor.compress_vec(json, &mut stream, FlushCompress::Finish).unwrap();
    stream
}

/// A text around these parts, right or wrong.
fn wrapped(stream: &[u8], rest: &[u8]) -> String {
    let length = u16::try_from(stream.len()).unwrap();
    let mut bytes = if length < 128 {
        vec![u8::try_from(length).unwrap()]
    } else {
        vec![u8::try_from(length & 0x7f).unwrap() | 0x80, u8::try_from(length >> 7).unwrap()]
    };
    bytes.extend_from_slice(stream);
    bytes.extend_from_slice(rest);
    format!("{PREFIX}{}", base45::encode(&bytes))
}

/// The parts that a text is made of, for an outsider to compare: (Z, what follows it).
fn unwrapped(text: &str) -> (Vec<u8>, Vec<u8>) {
    let bytes = base45::decode(&text[PREFIX.len()..]).unwrap();
    let (length, at) = match bytes[0] {
        low @ 0..0x80 => (usize::from(low), 1),
        low => (usize::from(low & 0x7f) | usize::from(bytes[1]) << 7, 2),
    };
    (bytes[at..at + length].to_vec(), bytes[at + length..].to_vec())
}

fn good() -> Vec<Value> {
    let mut vectors = Vec::new();
    for (seed, code) in (1..).zip(TYPES) {
        let licence_type = catalogue().into_iter().find(|t| t.code.as_str() == code).unwrap();
        for with_holder in [true, false] {
            let mut dice = Dice::new(seed);
            let sample = Sample::new(&licence_type, with_holder, &mut dice);
            let presentation = sample.defaults(&mut dice);
            let text = encode(&presentation).unwrap();
            let (compressed, rest) = unwrapped(&text);
            let signatures = if with_holder { 128 } else { 64 };
            vectors.push(json!({
                "licence_type": code, "holder_bound": with_holder,
                "issuer_public_key": sample.issuer.public_key().to_string(),
                "presentation": presentation, "elc1": text, "compressed": hex(&compressed),
                "signatures": hex(&rest[..signatures]), "side": hex(&rest[signatures..]),
            }));
        }
    }
    vectors
}

/// A small presentation and its parts: template, signatures with side entries.
fn small() -> (String, &'static [u8], Vec<u8>) {
    let part = |json: &str| to_base64url(json.as_bytes());
    let salt = to_base64url(&[7; 16]);
    let jwt = format!("{}.{}.{}", part("{}"), part(r#"{"iss":"a"}"#), to_base64url(&[1; 64]));
    let disclosure = part(&format!(r#"["{salt}","name","陆"]"#));
    let mut rest = vec![1; 64];
    rest.push(16);
    rest.extend_from_slice(&[7; 16]);
    (
        format!("{jwt}~{disclosure}~"),
        "{}\n{\"iss\":\"a\"}\n[\u{1},\"name\",\"陆\"]\n".as_bytes(),
        rest,
    )
}

/// Other encoders' texts of one presentation.
fn same() -> Vec<Value> {
    let (presentation, template, rest) = small();
    let ways = [
        ("stored, without compression", stream(template, 0, false)),
        ("compressed without the dictionary", stream(template, 6, false)),
        ("compressed with the dictionary", stream(template, 6, true)),
    ];
    let vector = |(how, stream): (&str, Vec<u8>)| json!({"how": how, "presentation": presentation, "elc1": wrapped(&stream, &rest)});
    ways.into_iter().map(vector).collect()
}

fn bad() -> Vec<(&'static str, &'static str, String)> {
    let (_, template, rest) = small();
    let good = stream(template, 6, true);
    let text = wrapped(&good, &rest);
    let of = |json: &str, rest: &[u8]| wrapped(&stream(json.as_bytes(), 6, true), rest);
    let with = |rest: &[u8], tail: &[u8]| [rest, tail].concat();
    let raw = |bytes: &[u8]| format!("{PREFIX}{}", base45::encode(bytes));
    let signature = [1; 64];
    let side = |length: u8| with(&signature, &vec![length; usize::from(length) + 1]);
    let left_in = format!("{{}}\n{{\"a\":\"{}\"}}\n", to_base64url(&[7; 16]));
    vec![
        ("too_long", "4,297 characters", format!("{PREFIX}{}", "0".repeat(MAX_TEXT_LEN - 4))),
        ("prefix", "another number", text.replacen("ELC1", "ELC2", 1)),
        ("prefix", "lower case", text.to_lowercase()),
        ("prefix", "white space before it", format!(" {text}")),
        ("prefix", "a web address", "https://verifier.example/?q=ELC1:".to_owned()),
        ("base45", "a line break after it", format!("{text}\n")),
        ("base45", "one character left over", format!("{PREFIX}A")),
        ("base45", "three characters beyond 65,535", format!("{PREFIX}:::")),
        ("base45", "two characters beyond 255", format!("{PREFIX}::")),
        ("varint", "nothing", PREFIX.to_owned()),
        ("varint", "a length that is cut off", raw(&[0x80])),
        ("varint", "a length in more bytes than it needs", raw(&[0x85, 0, 1, 2, 3, 4, 5])),
        ("varint", "a length of three bytes", raw(&[0xff, 0xff, 1])),
        ("truncated", "less than the length says", raw(&[9, 1])),
        ("deflate", "an empty stream", wrapped(&[], &rest)),
        ("deflate", "no stream", wrapped(&[0xff; 9], &rest)),
        ("deflate", "a stream without its end", wrapped(&good[..good.len() - 1], &rest)),
        ("trailing", "a byte after the stream", wrapped(&with(&good, &[0]), &rest)),
        ("inflated", "16,385 bytes", of(&"{".repeat(16_385), &rest)),
        ("inflated", "a bomb", wrapped(&stream(&vec![0; 2_000_000], 9, false), &rest)),
        ("truncated", "half a signature", of("{}\n{}\n", &signature[..32])),
        (
            "truncated",
            "one signature where the holder's belongs too",
            of("{}\n{}\n{}\n{}\n", &signature),
        ),
        ("truncated", "a mark without its side entry", wrapped(&good, &signature)),
        ("truncated", "half a side entry", wrapped(&good, &rest[..70])),
        ("side", "an entry of 15 bytes", wrapped(&good, &side(15))),
        ("side", "an entry of 65 bytes", wrapped(&good, &side(65))),
        ("trailing", "a side entry more than marks", wrapped(&good, &with(&rest, &rest[64..]))),
        ("trailing", "a byte after the side entries", wrapped(&good, &with(&rest, &[0]))),
        ("segments", "nothing inside", of("", &signature)),
        ("segments", "no line break at the end", of("{}\n{}", &signature)),
        ("segments", "a payload that is an array", of("{}\n[]\n", &signature)),
        ("segments", "half a key binding", of("{}\n{}\n{}\n", &with(&signature, &signature))),
        (
            "segments",
            "a disclosure after the key binding",
            of("{}\n{}\n{}\n{}\n[]\n", &with(&signature, &signature)),
        ),
        ("segments", "a part that is neither object nor array", of("{}\n{}\n1\n", &signature)),
        (
            "disclosures",
            "65 disclosures",
            of(&format!("{{}}\n{{}}\n{}", "[1]\n".repeat(65)), &signature),
        ),
        ("not_canonical", "a string left in that belongs to the side", of(&left_in, &signature)),
        ("not_canonical", "a mark inside a string", of("{}\n{\"a\":\"x\u{1}\"}\n", &rest)),
    ]
}

fn vectors() -> Value {
    let refused: Vec<Value> = bad()
        .into_iter()
        .map(|(code, why, text)| json!({"code": code, "why": why, "elc1": text}))
        .collect();
    let base45: Vec<Value> = BASE45
        .iter()
        .map(|(bytes, text)| json!({"bytes": hex(bytes.as_bytes()), "text": text}))
        .collect();
    json!({
        "description": "ELC1 texts and the presentations that they are, and texts that must be \
            refused. docs/spec/elc1.md",
        "dictionary": {"file": "credential/src/elc1/dictionary-1.bin", "bytes": DICTIONARY.len(),
            "sha256": sha256(DICTIONARY).to_string()},
        "base45": base45,
        "valid": good(),
        "same": same(),
        "refused": refused,
    })
}

/// The file, written anew first if that was asked for.
static FILED: LazyLock<Value> = LazyLock::new(|| {
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|update| update == "1") {
        let mut vectors = vectors();
        vectors.sort_all_objects();
        fs::write(FILE, format!("{}\n", serde_json::to_string_pretty(&vectors).unwrap())).unwrap();
    }
    serde_json::from_slice(&fs::read(FILE).unwrap()).unwrap()
});

fn list<'v>(vectors: &'v Value, name: &str) -> &'v [Value] {
    vectors[name].as_array().unwrap()
}

#[test]
fn texts_are_read_and_refused_as_the_vectors_say() {
    let vectors = &*FILED;
    let of = |vector: &'_ Value, name: &str| vector[name].as_str().unwrap().to_owned();
    for vector in list(vectors, "valid").iter().chain(list(vectors, "same")) {
        let (text, presentation) = (of(vector, "elc1"), of(vector, "presentation"));
        assert_eq!(decode(&text).as_ref(), Ok(&presentation));
        assert_eq!(decode(&encode(&presentation).unwrap()), Ok(presentation));
    }
    for vector in list(vectors, "valid") {
        let parsed = Parsed::parse(&of(vector, "presentation")).unwrap();
        let key: Digest = of(vector, "issuer_public_key").parse().unwrap();
        let key = PublicKey::from_bytes(key.as_bytes()).unwrap();
        let checked = parsed.check_signature(&key).unwrap();
        assert!(checked.disclose().is_ok());
        assert_eq!(checked.key_binding().unwrap().is_some(), vector["holder_bound"] == true);
    }
    for vector in list(vectors, "refused") {
        let refused = decode(&of(vector, "elc1")).unwrap_err();
        assert_eq!(refused.code(), of(vector, "code"), "{}", of(vector, "why"));
    }
    for vector in list(vectors, "base45") {
        let bytes = base45::decode(of(vector, "text")).unwrap();
        assert_eq!(hex(&bytes), of(vector, "bytes"));
        assert_eq!(base45::encode(&bytes), of(vector, "text"));
    }
    assert_eq!(vectors["dictionary"]["sha256"], sha256(DICTIONARY).to_string());
    assert_eq!(vectors["dictionary"]["bytes"], DICTIONARY.len());
}

/// The file is what this program makes, but for the freedom of DEFLATE.
#[test]
fn the_vectors_are_those_of_this_file() {
    let (read, made) = (&*FILED, &vectors());
    let names = |vectors: &Value, list_name: &str, name: &str| -> Vec<Value> {
        list(vectors, list_name).iter().map(|vector| vector[name].clone()).collect()
    };
    for (list_name, name) in [
        ("valid", "presentation"),
        ("valid", "side"),
        ("valid", "signatures"),
        ("same", "presentation"),
        ("refused", "code"),
        ("refused", "why"),
    ] {
        assert_eq!(names(read, list_name, name), names(made, list_name, name));
    }
}
