//! Tests of the presets and of the whole document made from them.

use super::*;
use crate::Problem;

const TIME: u64 = 1_767_225_600_000;

fn sample() -> Genesis {
    devnet_from_seed(4, &[7; 32], TIME, 8300).0
}

#[test]
fn the_nation_has_32_provinces_and_only_the_corps_is_an_extension() {
    let provinces = provinces();
    assert_eq!(provinces.len(), MAX_DEVNET);
    assert!(provinces.is_sorted_by(|a, b| a.code < b.code));
    let unverified: Vec<&str> =
        provinces.iter().filter(|p| !p.verified).map(|p| p.code.as_str()).collect();
    assert_eq!(unverified, ["66"]);
}

#[test]
fn the_catalogue_has_the_types_of_the_sample_data() {
    let catalogue = catalogue();
    let keys = |code: &str| -> Vec<String> {
        let found = catalogue.iter().find(|t| t.code.as_str() == code).unwrap();
        found.claims.iter().map(|c| format!("{}={}", c.label_zh, c.key)).collect()
    };
    assert_eq!(
        keys("local:driving-licence").join(" "),
        "姓名=name 性别=sex 国籍=nationality 住址=address 出生日期=birth_date 初次领证日期=first_issue_date 准驾车型=vehicle_class 有效期起=valid_from 有效期止=valid_until 证号=licence_number 档案编号=archive_number"
    );
    assert_eq!(
        keys("11100000000013338W011").join(" "),
        "姓名=name 性别=sex 身份证号=id_number 企业名称=employer 岗位类别=post_class 证书编号=certificate_number 初次领证日期=first_issue_date 有效期起=valid_from 有效期止=valid_until"
    );
    assert_eq!(
        keys("11100000MB0143028R001").join(" "),
        "统一社会信用代码=uscc 名称=name 类型=company_type 法定代表人=legal_representative 注册资本=registered_capital 成立日期=established 住所=address 经营范围=business_scope"
    );
    for record in &catalogue {
        assert!(record.claims.iter().any(|c| c.unique), "{} has no unique claim", record.code);
        assert!(!record.default_disclosure.is_empty(), "{} shows nothing", record.code);
        let shown = record.shown_by_default().count();
        assert_eq!(shown, record.default_disclosure.len(), "{} shows too much", record.code);
        assert!(!(record.verified && record.code.is_local()), "{} cannot be both", record.code);
        assert!(record.is_sound(), "the rules of the ledger would refuse {}", record.code);
    }
}

/// As a proposal reads it: without a number, and with the same lines in a difference.
#[test]
fn catalogue_entries_are_read_alone_and_told_in_facts() {
    let entry = catalogue().remove(0);
    let mut text = String::new();
    crate::catalogue::write(&mut text, &entry);
    let read = crate::catalogue::parse(&text).unwrap();
    assert_eq!(read, [LicenceTypeRecord { index: 0, ..entry.clone() }]);
    let facts = crate::catalogue::facts(&entry);
    assert_eq!(facts[0], ("code".into(), format!("\"{}\"", entry.code)));
    let claims = facts.iter().filter(|(name, _)| name.starts_with("claim ")).count();
    assert_eq!(claims, entry.claims.len());
    for bad in ["", "[[licence_types]]", "[chain]\nname = \"x\""] {
        assert!(!crate::catalogue::parse(bad).unwrap_err().is_empty(), "{bad}");
    }
}

#[test]
fn a_development_network_reads_back_with_the_same_chain_id() {
    let genesis = sample();
    let read = Genesis::parse(&genesis.to_toml()).unwrap();
    assert_eq!(read, genesis);
    assert_eq!(read.chain_id(), genesis.chain_id());
    let codes: Vec<&str> = genesis.provinces.iter().map(|p| p.code.as_str()).collect();
    assert_eq!(codes, ["11", "31", "44", "51"]);
    assert_eq!(genesis.validator_set().quorum(), 3);
    assert_eq!(devnet_from_seed(32, &[7; 32], TIME, 8300).0.validator_set().quorum(), 22);
    assert_eq!(genesis.warnings(), Vec::<String>::new());
}

#[test]
fn comments_line_ends_and_order_do_not_change_the_chain_id() {
    let genesis = sample();
    let text = genesis.to_toml();
    let reversed: Vec<&str> = text.split("\n\n").collect();
    let reversed: Vec<&str> = reversed.into_iter().rev().collect();
    let other = format!("{}\n# a comment\n", reversed.join("\n\n")).replace('\n', "\r\n");
    assert_eq!(Genesis::parse(&other).unwrap().chain_id(), genesis.chain_id());
    let later = text.replace("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z");
    assert_ne!(Genesis::parse(&later).unwrap().chain_id(), genesis.chain_id());
    let offset = text.replace("\"2026-01-01T00:00:00Z\"", "2026-01-01T08:00:00+08:00");
    assert_eq!(Genesis::parse(&offset).unwrap().chain_id(), genesis.chain_id());
}

/// The chain id and the state root are promises to every node there will ever be: a change here
/// is a change of the format. A document without status keys reads as it did before there were any.
#[test]
fn the_chain_id_and_the_founding_root_of_a_document_never_change() {
    let mut genesis = sample();
    genesis.licence_types.truncate(1);
    genesis.provinces.iter_mut().for_each(|p| p.status_key = None);
    let root = genesis.state_root();
    let header = genesis.block_zero(root);
    let found = [genesis.chain_id(), root, header.hash()].map(|digest| digest.to_string());
    assert_eq!(
        found,
        [
            "e04ca53fa5236583edf373b2333a9b4fe0ced3aacfd61726e5c74f282adcf617",
            "4f52670380db4029ec14d2d0941a6dbe12355af1b4f2eaf9495e9946eef226c7",
            "c3d6cfc1ae46b7e6f5ef05a0e5624fc418330af64113baa8482744f795d9a4c7",
        ]
    );
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_line() {
    let text = sample().to_toml();
    let text = text
        .replacen("idle_block_interval_ms = 10000", "idle_block_interval_ms = 70000\ncolour = 1", 1)
        .replacen("code = \"11\"", "code = \"1\"", 1)
        .replacen("/ip4/127.0.0.1/tcp/8303", "/ip4/127.0.0.1/tcp/0", 1)
        .replacen("scope = \"all\"", "scope = \"some\"", 1)
        .replacen("sensitivity = 2", "sensitivity = 9", 1)
        .replacen("name = \"devnet\"", "name = 5", 1);
    let problems = Genesis::parse(&text).unwrap_err();
    let found: Vec<String> = problems.iter().map(Problem::to_string).collect();
    let lines: Vec<&str> = text.lines().collect();
    for (needle, place) in [
        ("name of [chain] is an integer", "name = 5"),
        ("\"colour\" of [chain] is unknown", "colour = 1"),
        ("max_staleness_ms = 60000 is not above", "[chain]"),
        ("\"1\" cannot stand here", "code = \"1\""),
        ("address of a validator is wrong", "tcp/0"),
        ("neither \"all\" nor a list", "scope = \"some\""),
        ("sensitivity = 9 is out of bounds", "sensitivity = 9"),
    ] {
        let problem = problems.iter().find(|p| p.what.contains(needle));
        let problem = problem.unwrap_or_else(|| panic!("{needle} is not in {found:#?}"));
        let line = lines[problem.line.unwrap() - 1];
        assert!(line.contains(place), "{problem} is said of {line}");
    }
    assert_eq!(found.len(), 7, "{found:#?}");
}

#[test]
fn what_stands_twice_or_is_missing_is_reported() {
    let check = |change: &dyn Fn(&mut Genesis), expected: &str| {
        let mut genesis = sample();
        change(&mut genesis);
        let problems = Genesis::parse(&genesis.to_toml()).unwrap_err();
        let found: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert!(found.iter().any(|p| p.contains(expected)), "{expected} is not in {found:#?}");
    };
    check(&|g| g.provinces.push(g.provinces[0].clone()), "province 11 stands here twice");
    check(&|g| g.provinces.clear(), "there is no province");
    check(&|g| drop(g.provinces.remove(0)), "province 11 is not in this document");
    check(&|g| g.validators.clear(), "there is no validator");
    check(&|g| g.validators[1].key = g.validators[0].key, "is used twice");
    let authority = |g: &Genesis| Some(g.provinces[0].authority_key);
    check(&|g| g.provinces[1].status_key = authority(g), "is used twice");
    check(&|g| g.validators[1].peer_id = g.validators[0].peer_id, "have the peer id");
    check(&|g| g.validators[1].addresses.clear(), "0 addresses");
    check(&|g| g.agencies[1].credential_key = g.agencies[1].transaction_key, "is used twice");
    check(&|g| g.agencies[1].uscc = g.agencies[0].uscc, "stands here twice");
    check(&|g| g.licence_types.push(g.licence_types[0].clone()), "stands here twice");
    let unknown = Scope::Types(vec!["local:none".parse().unwrap()]);
    check(&|g| g.agencies[0].scope = unknown.clone(), "local:none, which is not here");
    check(
        &|g| g.licence_types[0].claims[1].key = g.licence_types[0].claims[0].key.clone(),
        "names two claims",
    );
    check(
        &|g| {
            g.licence_types[0].claims[0].role =
                Some(symbolon_ledger::catalogue::ClaimRole::BirthDate)
        },
        "does not fit its type",
    );
    check(&|g| g.licence_types[0].claims[0].sensitivity = 3, "its sensitivity is 3 or 4");
    check(
        &|g| {
            let claim = &mut g.licence_types[0].claims[3];
            claim.disclosure = symbolon_ledger::catalogue::Disclosure::Always;
        },
        "birth_date is always shown",
    );
    for text in ["", "chain = 1", "[chain", "\u{0}", "a = 1\na = 2"] {
        assert!(!Genesis::parse(text).unwrap_err().is_empty(), "{text:?}");
    }
}
