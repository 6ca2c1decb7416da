//! Tests of the ceremony: four provinces join a draft.

use super::*;
use crate::presets;

const TIME: u64 = 1_767_225_600_000;

/// A development network as a draft and the parts that its provinces would have written.
fn ceremony() -> (Genesis, Draft, Vec<Part>) {
    let genesis = presets::devnet_from_seed(4, &[9; 32], TIME, 8300).0;
    let draft =
        Draft { chain: genesis.chain.clone(), licence_types: genesis.licence_types.clone() };
    let part = |province: &Province| Part {
        draft: draft.digest(),
        province: province.clone(),
        validator: genesis.validators.iter().find(|v| v.province == province.code).cloned(),
        agencies: genesis
            .agencies
            .iter()
            .filter(|a| a.province == province.code)
            .cloned()
            .collect(),
    };
    let parts = genesis.provinces.iter().map(part).collect();
    (genesis, draft, parts)
}

fn join(draft: &Draft, parts: &[Part]) -> Result<Genesis, Vec<(usize, Problem)>> {
    let texts: Vec<String> = parts.iter().map(Part::to_toml).collect();
    finish(&draft.to_toml(), &texts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn parts_in_any_order_make_the_same_document() {
    let (genesis, draft, mut parts) = ceremony();
    assert_eq!(Draft::parse(&draft.to_toml()), Ok(draft.clone()));
    for part in &parts {
        assert_eq!(Part::parse(&part.to_toml()).as_ref(), Ok(part));
        assert!(part.missing_from(&genesis).is_empty());
    }
    assert_eq!(join(&draft, &parts), Ok(genesis.clone()));
    parts.reverse();
    assert_eq!(join(&draft, &parts).map(|g| g.chain_id()), Ok(genesis.chain_id()));
}

#[test]
fn every_conflict_is_reported_with_its_part() {
    let (_, draft, mut parts) = ceremony();
    parts.push(parts[0].clone());
    parts[2].draft = Digest::ZERO;
    parts[3].agencies[0].credential_key = parts[2].agencies[0].credential_key;
    let problems = join(&draft, &parts).unwrap_err();
    let has = |file: usize, what: &str| {
        assert!(
            problems.iter().any(|(f, p)| *f == file && p.what.contains(what)),
            "{what} in {file}: {problems:#?}"
        );
    };
    has(3, "another draft");
    has(4, "is used twice");
    has(5, "province 11 stands here twice");
    has(5, "province 11 has two validators");
}

#[test]
fn a_part_speaks_for_one_province_only() {
    let (_, _, parts) = ceremony();
    let mut stranger = parts[0].clone();
    stranger.agencies.extend(parts[1].agencies.clone());
    let problems = Part::parse(&stranger.to_toml()).unwrap_err();
    assert!(problems[0].what.contains("of province 31, the part of 11"), "{problems:?}");
    assert!(Part::parse("").is_err());
}

#[test]
fn a_province_sees_what_a_coordinator_changed() {
    let (genesis, _, parts) = ceremony();
    let check = |change: &dyn Fn(&mut Genesis), expected: &str| {
        let mut changed = genesis.clone();
        change(&mut changed);
        let missing = parts[0].missing_from(&changed);
        assert!(missing.iter().any(|m| m.contains(expected)), "{expected}: {missing:?}");
    };
    let other = genesis.validators[1].key;
    check(&|g| g.provinces[0].authority_key = other, "described otherwise");
    check(&|g| g.provinces[0].status_key = Some(other), "described otherwise");
    check(&|g| g.provinces[0].status_key = None, "described otherwise");
    check(&|g| g.validators[0].key = other, "not the one that it brought");
    check(&|g| drop(g.validators.remove(0)), "not the one that it brought");
    check(&|g| g.agencies[0].credential_key = other, "not those that it brought");
    check(&|g| g.agencies[1].province = parts[0].province.code, "not those that it brought");
    check(&|g| g.chain.max_staleness_ms += 1, "not those of the draft");
    check(&|g| drop(g.licence_types.pop()), "not those of the draft");
}

/// More than a third of the votes are the coordinator's own, and its own part shows a province
/// nothing of it.
#[test]
fn who_has_all_parts_sees_whom_a_coordinator_added() {
    let (genesis, draft, mut parts) = ceremony();
    assert_eq!(strangers(&genesis, &parts), Vec::<String>::new());
    let invented = many_parts(&draft, &parts[0], 2, 1);
    parts.extend(invented);
    let changed = join(&draft, &parts).unwrap();
    let honest = &parts[..4];
    assert!(honest.iter().all(|part| part.missing_from(&changed).is_empty()));
    let seen = strangers(&changed, honest);
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[0].starts_with("the province 00 ") && seen[0].contains("with a vote"), "{seen:?}");
    assert!(seen[1].starts_with("the province 01 "), "{seen:?}");
    assert_eq!(strangers(&changed, &parts), Vec::<String>::new());
    // A stranger's agency or vote alone is seen as well: its province must be there for it.
    let mut without = changed.clone();
    without.provinces.retain(|p| p.code.as_str() != "00");
    assert!(Genesis::parse(&without.to_toml()).is_err());
}

/// Parts of provinces that never were, each with one agency or with many.
fn many_parts(draft: &Draft, part: &Part, provinces: usize, agencies: usize) -> Vec<Part> {
    let key = |name: &str| {
        symbolon_ledger::keys::SecretKey::from_seed(&sha256(name.as_bytes()).0).public_key()
    };
    let one = |n: usize| {
        let mut part = part.clone();
        part.draft = draft.digest();
        part.province.code = format!("{n:02}").parse().unwrap();
        part.province.issuer_origin = format!("https://p{n}.example").parse().unwrap();
        part.province.authority_key = key(&format!("authority {n}"));
        part.province.status_key = None;
        if let Some(validator) = &mut part.validator {
            validator.province = part.province.code;
            validator.key = key(&format!("validator {n}"));
            validator.peer_id = crate::peer_id::PeerId::of(&key(&format!("node {n}")));
            validator.addresses = vec!["/dns/node.example/tcp/9000".to_owned()];
        }
        let first = part.agencies[0].clone();
        let agency = |i: usize| Agency {
            uscc: uscc(n * 10_000 + i),
            province: part.province.code,
            transaction_key: key(&format!("transactions {n} {i}")),
            credential_key: key(&format!("credentials {n} {i}")),
            ..first.clone()
        };
        part.agencies = (0..agencies).map(agency).collect();
        part
    };
    (0..provinces).map(one).collect()
}

/// The credit code number `n` of these tests.
fn uscc(n: usize) -> symbolon_ledger::codes::Uscc {
    use symbolon_ledger::codes::{CodeError, Uscc};
    let first = format!("1144000{n:010}");
    match format!("{first}0").parse::<Uscc>() {
        Ok(uscc) => uscc,
        Err(CodeError::UsccCheck { expected }) => format!("{first}{expected}").parse().unwrap(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn parts_that_are_too_many_together_are_refused_when_they_are_joined() {
    let (_, draft, parts) = ceremony();
    let check = |provinces, agencies, expected: &[&str]| {
        let parts = many_parts(&draft, &parts[0], provinces, agencies);
        match join(&draft, &parts) {
            Ok(genesis) => {
                assert!(expected.is_empty(), "{provinces} provinces, {agencies} agencies");
                assert_eq!(genesis.validator_set().validators().len(), provinces);
            }
            Err(problems) => {
                let whats: Vec<&str> = problems.iter().map(|(_, p)| p.what.as_str()).collect();
                assert_eq!(whats, expected);
            }
        }
    };
    let most = crate::document::MOST_VALIDATORS;
    check(most, 1, &[]);
    check(
        most + 1,
        1,
        &[
            "65 provinces in all, more than the 64 allowed",
            "65 validators in all, more than the 64 allowed",
        ],
    );
    check(3, 4_000, &["12000 agencies in all, more than the 10000 allowed"]);
}

#[test]
fn a_document_that_would_be_too_long_is_refused_when_it_is_joined() {
    let (_, draft, parts) = ceremony();
    let mut parts = many_parts(&draft, &parts[0], 2, 5_000);
    let longest = "\u{20000}".repeat(symbolon_ledger::codes::MAX_LABEL_CHARS);
    for agency in parts.iter_mut().flat_map(|part| &mut part.agencies) {
        agency.name = longest.parse().unwrap();
    }
    assert!(parts.iter().all(|part| part.to_toml().len() < document::MAX_DOCUMENT_BYTES));
    let problems = join(&draft, &parts).unwrap_err();
    let [(0, problem)] = problems.as_slice() else { panic!("{problems:?}") };
    let expected = "the document of these parts could not be read:";
    assert!(problem.what.starts_with(expected), "{problem:?}");
    assert!(problem.what.contains("more than the 4194304 allowed"), "{problem:?}");
}
