//! Tests of ELC1: what it carries, and one text for every way to be wrong.

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;
use symbolon_ledger::hash::sha256;

use super::*;
use crate::encoding::to_base64url;

const SIGNATURES: [u8; 128] = [0xa5; 128];

/// A text around exactly these parts, whether they are right or not.
fn wrapped(stream: &[u8], rest: &[u8]) -> String {
    let mut bytes = varint(stream.len());
    bytes.extend_from_slice(stream);
    bytes.extend_from_slice(rest);
    format!("{PREFIX}{}", base45::encode(&bytes))
}

fn text_of(json: &str, signatures: usize, side: &[u8]) -> String {
    let stream = deflate::deflate(json.as_bytes()).unwrap();
    wrapped(&stream, &[&SIGNATURES[..signatures], side].concat())
}

fn side(entries: &[&[u8]]) -> Vec<u8> {
    let entry = |e: &&[u8]| [&[u8::try_from(e.len()).unwrap()], *e].concat();
    entries.iter().flat_map(entry).collect()
}

fn jwt(header: &str, payload: &str) -> String {
    let part = |text: &str| to_base64url(text.as_bytes());
    format!("{}.{}.{}", part(header), part(payload), to_base64url(&SIGNATURES[..64]))
}

fn presentation(disclosures: &[&str], bound: bool) -> String {
    let mut text = format!("{}~", jwt("{}", r#"{"iss":"a"}"#));
    for disclosure in disclosures {
        text.push_str(&to_base64url(disclosure.as_bytes()));
        text.push('~');
    }
    if bound {
        text.push_str(&jwt(r#"{"typ":"kb+jwt"}"#, "{}"));
    }
    text
}

/// Dictionary 1 is part of the format: these bytes, for ever.
#[test]
fn dictionary_1_never_changes() {
    assert_eq!(DICTIONARY.len(), 10_271);
    assert_eq!(
        sha256(DICTIONARY).to_string(),
        "47d89517b553a7f76161c003e7f79c569b1ae38e4a5dc8ee62131cf1ce3495f0"
    );
}

#[test]
fn every_shape_reads_back() {
    let salt = to_base64url(&[7; 16]);
    let long = to_base64url(&[8; 64]);
    let (short, longer) = (to_base64url(&[9; 15]), to_base64url(&[9; 65]));
    for (disclosures, bound) in [
        (vec![], false),
        (vec![], true),
        (vec![r#"["_26bc4LT-ac6q2KI6cBW5es", "family_name", "Möbius"]"#], false),
        (vec![r#"["a\"b\\","\u0001","陆"]"#, "[]", r#"["unclosed]"#, r#"["\"#], true),
        (vec![&format!(r#"["{salt}","{long}","{short}","{longer}"]"#)], true),
        (vec!["[1]"; 64], false),
    ] {
        let text = presentation(&disclosures, bound);
        let written = encode(&text).unwrap();
        assert!(written.starts_with(PREFIX), "{written}");
        assert_eq!(decode(&written), Ok(text), "{disclosures:?}");
    }
}

#[test]
fn what_cannot_be_carried_exactly_is_refused() {
    let check =
        |text: &str, expected: EncodeError| assert_eq!(encode(text), Err(expected), "{text}");
    let good = presentation(&[], false);
    let jwt = good.trim_end_matches('~');
    check("", EncodeError::Parts);
    check(jwt, EncodeError::Parts);
    check("a.b~", EncodeError::Parts);
    check("e30.e30.AAAA~", EncodeError::Signature);
    check("e30.e3.AAAA~", EncodeError::Base64);
    check("e31.e30.AAAA~", EncodeError::Base64); // bits beyond the last byte
    check("e30=.e30.AAAA~", EncodeError::Base64);
    check(&format!("{jwt}~~"), EncodeError::Opening);
    check(&format!("{jwt}~e30~"), EncodeError::Opening); // an object where an array belongs
    check(&format!("{jwt}~W10"), EncodeError::Parts); // a disclosure without its ~
    check(&presentation(&["[1,\n2]"], false), EncodeError::Reserved);
    check(&presentation(&["[\u{1}]"], false), EncodeError::Reserved);
    check(&presentation(&[" [1]"], false), EncodeError::Opening);
    let large = |what, actual, limit| EncodeError::TooLarge { what, actual, limit };
    check(&presentation(&["[1]"; 65], false), large("the number of disclosures", 65, 64));
    let noise: Vec<u8> = (0..3_000u32).map(|i| sha256(&i.to_be_bytes()).as_bytes()[0]).collect();
    let hex: String = noise.iter().map(|b| format!("{b:02x}")).collect();
    assert!(matches!(
        encode(&presentation(&[&format!(r#"["{hex}"]"#)], false)),
        Err(EncodeError::TooLarge { what: "the text in characters", limit: MAX_TEXT_LEN, .. })
    ));
    let long = format!(r#"["{}"]"#, " ".repeat(MAX_TEMPLATE_LEN));
    let what = "the presentation without its random parts, in bytes";
    assert!(matches!(encode(&presentation(&[&long], false)),
        Err(EncodeError::TooLarge { what: w, .. }) if w == what));
    let what = "the presentation in bytes";
    assert!(matches!(encode(&"a".repeat(70_000)),
        Err(EncodeError::TooLarge { what: w, .. }) if w == what));
}

#[test]
fn every_fault_has_its_error() {
    let check =
        |text: &str, expected: DecodeError| assert_eq!(decode(text), Err(expected), "{text}");
    let json = "{}\n{\"a\":\u{1}}\n[1]\n";
    let entry = side(&[&[7; 16]]);
    let good = text_of(json, 64, &entry);
    assert!(decode(&good).is_ok());
    let stream = deflate::deflate(json.as_bytes()).unwrap();
    let rest = [&SIGNATURES[..64], entry.as_slice()].concat();

    check("", DecodeError::Prefix);
    check(&good[1..], DecodeError::Prefix);
    check(&good.to_lowercase(), DecodeError::Prefix);
    check(&format!(" {good}"), DecodeError::Prefix);
    check(&format!("{PREFIX}{}", "0".repeat(MAX_TEXT_LEN)), DecodeError::TooLong);
    check(&format!("{good}\n"), DecodeError::Base45);
    check(&format!("{PREFIX}A"), DecodeError::Base45);
    check(&format!("{PREFIX}:::"), DecodeError::Base45); // 91,124: more than two bytes
    check(&format!("{PREFIX}::"), DecodeError::Base45); // 2,024: more than one byte
    check(PREFIX, DecodeError::Varint);
    let bytes = |bytes: &[u8]| format!("{PREFIX}{}", base45::encode(bytes));
    check(&bytes(&[0x80]), DecodeError::Varint);
    check(&bytes(&[0x85, 0x00, 1, 2, 3, 4, 5]), DecodeError::Varint); // 5, in two bytes
    check(&bytes(&[0xff, 0xff, 0x01]), DecodeError::Varint);
    check(&bytes(&[9, 1]), DecodeError::Truncated);

    check(&wrapped(&[], &rest), DecodeError::Deflate);
    check(&wrapped(&[0xff; 9], &rest), DecodeError::Deflate);
    check(&wrapped(&stream[..stream.len() - 1], &rest), DecodeError::Deflate);
    check(&wrapped(&[&stream[..], &[0]].concat(), &rest), DecodeError::Trailing);
    check(&text_of(json, 63, &[]), DecodeError::Truncated);
    check(&text_of(json, 64, &[]), DecodeError::Truncated);
    check(&text_of(json, 64, &entry[..9]), DecodeError::Truncated);
    check(&text_of(json, 64, &[&entry[..], &[0]].concat()), DecodeError::Trailing);
    check(&text_of(json, 64, &side(&[&[7; 15]])), DecodeError::Side);
    check(&text_of(json, 64, &side(&[&[7; 65]])), DecodeError::Side);
    check(&text_of(json, 64, &side(&[&[7; 16], &[7; 16]])), DecodeError::Trailing);
    check(&text_of(json, 128, &entry), DecodeError::Side);

    for shape in [
        "",
        "{}\n",
        "{}\n{}",
        "{}\n{}\n\n",
        "\n\n",
        "[]\n{}\n",
        "{}\n[]\n",
        "{}\n{}\n{}\n",
        "{}\n{}\n{}\n{}\n{}\n",
        "{}\n{}\n{}\n{}\n[]\n",
        "{}\n{}\n{}\n[]\n",
        "{}\n{}\n1\n",
    ] {
        check(&text_of(shape, 128, &[]), DecodeError::Segments);
    }
    check(
        &text_of(&format!("{{}}\n{{}}\n{}", "[1]\n".repeat(65)), 64, &[]),
        DecodeError::Disclosures,
    );

    let left_in = format!("{{}}\n{{\"a\":\"{}\"}}\n", to_base64url(&[7; 16]));
    check(&text_of(&left_in, 64, &[]), DecodeError::NotCanonical);
    check(&text_of("{}\n{\"a\":\"x\u{1}\"}\n", 64, &entry), DecodeError::NotCanonical);
}

/// A presentation has as many texts as DEFLATE has streams for it; all of them mean it.
#[test]
fn streams_of_other_encoders_are_read() {
    let json = b"{}\n{\"a\":\x01}\n[1]\n";
    let rest = [&SIGNATURES[..64], side(&[&[7; 16]]).as_slice()].concat();
    let expected = decode(&wrapped(&deflate::deflate(json).unwrap(), &rest)).unwrap();
    for level in 0..=9 {
        let mut compressor = Compress::new(Compression::new(level), false);
        let mut stream = Vec::with_capacity(1_000);
        compressor.compress_vec(json, &mut stream, FlushCompress::Finish).unwrap();
        assert_eq!(decode(&wrapped(&stream, &rest)), Ok(expected.clone()), "level {level}");
    }
}

/// 2.8 KB that would become megabytes.
#[test]
fn a_bomb_is_refused_before_it_grows() {
    let mut compressor = Compress::new(Compression::best(), false);
    let mut stream = Vec::with_capacity(4_000);
    let zeros = vec![b'{'; 2_700_000];
    compressor.compress_vec(&zeros, &mut stream, FlushCompress::Finish).unwrap();
    assert!(stream.len() < 2_780, "{}", stream.len());
    let text = wrapped(&stream, &[]);
    assert!(text.len() <= MAX_TEXT_LEN);
    assert_eq!(decode(&text), Err(DecodeError::Inflated));
    // The largest that is allowed, and one byte more.
    for (length, expected) in
        [(MAX_TEMPLATE_LEN, DecodeError::Segments), (MAX_TEMPLATE_LEN + 1, DecodeError::Inflated)]
    {
        let stream = deflate::deflate(&vec![b'{'; length]).unwrap();
        assert_eq!(decode(&wrapped(&stream, &[])), Err(expected));
    }
}

#[test]
fn no_error_quotes_what_it_was_given() {
    let text = text_of("{}\n{\"a\":\"Zhang San\"}\nZhang\n", 64, &[]);
    assert_eq!(
        decode(&text).unwrap_err().to_string(),
        "the parts of the presentation are not in order"
    );
}

proptest! {
    #[test]
    fn numbers_have_one_form(number in 0usize..16_384, tail in prop::collection::vec(any::<u8>(), 0..4)) {
        let bytes = [varint(number), tail.clone()].concat();
        prop_assert_eq!(read_varint(&bytes), Ok((number, tail.as_slice())));
    }

    #[test]
    fn nothing_panics(json in prop::collection::vec(any::<u8>(), 0..300), rest in prop::collection::vec(any::<u8>(), 0..300)) {
        let stream = deflate::deflate(&json).unwrap();
        if let Ok(read) = decode(&wrapped(&stream, &rest)) {
            prop_assert!(encode(&read).is_ok());
        }
        let _ = decode(&wrapped(&json, &rest));
    }
}
