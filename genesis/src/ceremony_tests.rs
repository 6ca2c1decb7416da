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
