//! The founding document: its vectors, and what holds of any document and of any text at all.
//!
//! `tests/vectors/genesis.toml` and `genesis.json` are made by this file from fixed keys;
//! `UPDATE_EXPECT=1` writes them anew, which is a change of the format (docs/spec/genesis.md).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use expect_test::expect_file;
use proptest::{collection::vec, prelude::*, sample::subsequence};
use serde_json::json;
use symbolon_genesis::{Genesis, document::Scope, peer_id::PeerId, presets};
use symbolon_ledger::codec;
use symbolon_tests::devnet::{binary, json_of};

/// 2026-01-01T00:00:00Z.
const TIME_MS: u64 = 1_767_225_600_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Four provinces of which one has a status key, one licence type, an agency that may issue it and
/// three that may issue all.
fn small() -> Genesis {
    let (mut genesis, _) = presets::devnet_from_seed(4, &[7; 32], TIME_MS, 8300);
    genesis.licence_types.retain(|t| t.code.as_str() == "local:driving-licence");
    genesis.licence_types[0].index = 0;
    genesis.provinces[1..].iter_mut().for_each(|p| p.status_key = None);
    genesis.agencies[0].scope = Scope::Types(vec!["local:driving-licence".parse().unwrap()]);
    genesis
}

#[test]
fn the_vectors_are_what_the_code_makes() {
    let genesis = small();
    let root = genesis.state_root();
    let header = genesis.block_zero(root);
    let records: Vec<_> = genesis
        .changes()
        .into_iter()
        .map(|(key, record)| {
            let map_key = key.map_key().to_string();
            json!({"key": hex(&key.encode()), "map_key": map_key, "record": hex(&record.unwrap())})
        })
        .collect();
    let vector = json!({
        "document": "genesis.toml",
        "canonical_bytes": hex(&genesis.canonical_bytes()),
        "chain_id": genesis.chain_id().to_string(),
        "validators_hash": genesis.validator_set().hash().to_string(),
        "state": records,
        "state_root": root.to_string(),
        "block_zero": hex(&codec::encode(&header)),
        "block_zero_hash": header.hash().to_string(),
    });
    let text = format!("{}\n", serde_json::to_string_pretty(&vector).unwrap());
    expect_file!["../vectors/genesis.toml"].assert_eq(&genesis.to_toml());
    expect_file!["../vectors/genesis.json"].assert_eq(&text);
}

#[test]
fn the_vector_of_a_document_is_read_as_an_outsider_would() {
    let genesis = Genesis::parse(include_str!("../vectors/genesis.toml")).unwrap();
    assert_eq!(genesis, small());
}

/// Runs `symbolon --json genesis` in `folder`; its exit status and its answer.
fn genesis(folder: &std::path::Path, line: &str) -> (i32, serde_json::Value) {
    let mut command = std::process::Command::new(binary("symbolon"));
    command.args(["--json", "genesis"]).args(line.split_whitespace()).current_dir(folder);
    let output = command.output().unwrap();
    (output.status.code().unwrap(), json_of(&output))
}

#[test]
fn a_document_is_checked_against_the_parts_of_all_provinces() {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str| genesis(folder.path(), line);
    let ok = |line: &str| assert_eq!(run(line).0, 0, "{line}: {}", run(line).1);
    ok("new --name 全国 --time 2026-12-01T00:00:00+08:00 --out draft.toml");
    for code in ["11", "31", "44"] {
        ok(&format!(
            "join draft.toml --province {code} --keys keys-{code} --origin https://p{code}.example \
             --address /dns/p{code}.example/tcp/9000 --out part-{code}.toml"
        ));
    }
    let (status, finished) =
        run("finish draft.toml part-11.toml part-31.toml part-44.toml --out genesis.toml");
    assert_eq!((status, finished["parts"].as_array().unwrap().len()), (0, 3), "{finished}");
    ok("finish draft.toml part-11.toml part-31.toml --out smaller.toml");
    ok("check genesis.toml");
    let fingerprints = ["11", "31", "44"].map(|code| {
        let (status, part) = run(&format!("show part-{code}.toml"));
        assert_eq!((status, &part["province"]), (0, &json!(code)), "{part}");
        part["fingerprint"].clone()
    });
    let named = |answer: serde_json::Value| {
        let parts = answer["parts"].as_array().unwrap().clone();
        parts.iter().map(|part| part["fingerprint"].clone()).collect::<Vec<_>>()
    };
    let (status, checked) = run("check genesis.toml --part part-11.toml part-31.toml part-44.toml");
    assert_eq!((status, named(checked)), (0, fingerprints.to_vec()));
    assert_eq!(named(run("check genesis.toml").1), Vec::<serde_json::Value>::new());
    let plain = |line: &str| {
        let mut command = std::process::Command::new(binary("symbolon"));
        let output =
            command.arg("genesis").args(line.split_whitespace()).current_dir(folder.path());
        String::from_utf8(output.output().unwrap().stdout).unwrap()
    };
    assert!(plain("check genesis.toml").contains("warning: held against no part"));
    let all = plain("check genesis.toml --part part-11.toml part-31.toml part-44.toml");
    assert!(all.contains(&format!("  44 {}", fingerprints[2].as_str().unwrap())), "{all}");
    let bad = "join draft.toml --province 51 --keys keys-51 --origin https://p51.example \
               --address nonsense --out part-51.toml";
    assert_eq!(run(bad).0, 2, "{}", run(bad).1);
    ok("check genesis.toml --part part-11.toml --part part-31.toml --part part-44.toml");
    let refused = |line: &str, code: &str, named: &[&str]| {
        let (status, answer) = run(line);
        assert_eq!((status, answer["error"]["code"].as_str()), (1, Some(code)), "{line}: {answer}");
        let problems = answer["error"]["problems"].as_array().unwrap();
        assert_eq!(problems.len(), named.len(), "{answer}");
        for (problem, name) in problems.iter().zip(named) {
            assert!(problem.as_str().unwrap().contains(name), "{answer}");
        }
    };
    // 31 and 44 would vote in a document of which 11 knows its own part only.
    let alone = "check genesis.toml --part part-11.toml";
    refused(alone, "unknown_members", &["province 31 Shanghai", "province 44 Guangdong"]);
    let two = "check genesis.toml --part part-11.toml part-44.toml";
    refused(two, "unknown_members", &["province 31 Shanghai, with a vote"]);
    let absent = "check smaller.toml --part part-11.toml part-44.toml";
    refused(absent, "part_differs", &["province 44", "validator of 44"]);
}

/// Documents of every size, with any catalogue, any parameters and any keys.
fn documents() -> impl Strategy<Value = Genesis> {
    let types = presets::catalogue();
    let count = types.len();
    let parameters = (1_000_000_000_000..200_000_000_000_000u64, 100..10_000u64, 1..1_000_000u64);
    (1..=32usize, any::<[u8; 32]>(), parameters, subsequence(types, 1..=count)).prop_map(
        |(count, seed, (time, idle, more), mut types)| {
            let (mut genesis, _) = presets::devnet_from_seed(count, &seed, time, 20_000);
            genesis.chain.idle_block_interval_ms = idle;
            genesis.chain.max_staleness_ms = idle + more;
            for (index, record) in (0..).zip(&mut types) {
                record.index = index;
            }
            genesis.agencies[0].scope = Scope::Types(vec![types[0].code.clone()]);
            genesis.licence_types = types;
            genesis
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_document_reads_back_whatever_the_order_of_its_tables(
        genesis in documents(),
        order in vec(any::<u32>(), 200),
    ) {
        let text = genesis.to_toml();
        let mut tables: Vec<&str> = text.split("\n\n").collect();
        let mut place = 0;
        tables.sort_by_cached_key(|_| { place += 1; order[place % order.len()] });
        let read = Genesis::parse(&tables.join("\n# a comment\n\n"));
        prop_assert_eq!(read.as_ref().map(Genesis::chain_id), Ok(genesis.chain_id()));
        prop_assert_eq!(read, Ok(genesis));
    }

    #[test]
    fn a_founding_state_keeps_the_rules_of_the_contracts(genesis in documents()) {
        let records = genesis.changes().into_iter().map(|(key, record)| (key, record.unwrap()));
        prop_assert_eq!(symbolon_contracts::invariants::check(records), vec![]);
        prop_assert!(genesis.block_zero(genesis.state_root()).hash() != genesis.chain_id());
    }

    /// Any damage is either seen, with problems that have a line of the text, or leaves a document
    /// that reads back.
    #[test]
    fn a_damaged_document_is_refused_with_reasons_or_is_another_document(
        at in any::<prop::sample::Index>(),
        length in 0..40usize,
        put in "[a-z\"=\\[\\]\n#1 ]{0,8}",
    ) {
        let text = small().to_toml();
        let bounds: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
        let begin = at.index(bounds.len());
        let end = (begin + length).min(bounds.len() - 1);
        let damaged = format!("{}{put}{}", &text[..bounds[begin]], &text[bounds[end]..]);
        match Genesis::parse(&damaged) {
            Ok(genesis) => prop_assert_eq!(Genesis::parse(&genesis.to_toml()), Ok(genesis)),
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                let lines = damaged.lines().count() + 1;
                for problem in problems {
                    prop_assert!(!problem.what.is_empty());
                    prop_assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)));
                }
            }
        }
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "\\PC{0,200}") {
        prop_assert!(Genesis::parse(&text).is_err());
    }

    #[test]
    fn any_peer_id_that_is_read_is_written_the_same(text in "12D3KooW[1-9A-HJ-NP-Za-km-z]{44}") {
        if let Ok(id) = text.parse::<PeerId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }
}
