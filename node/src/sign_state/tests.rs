//! The file of the mark: it is durable, it never goes down, and damage is never "nothing signed".

use symbolon_ledger::{hash::sha256, keys::SecretKey, vote::Step};
use tempfile::TempDir;

use super::*;

fn owner(seed: u8) -> Owner {
    Owner {
        chain: sha256(b"chain"),
        province: "44".parse().unwrap(),
        key: SecretKey::from_seed(&[seed; 32]).public_key(),
    }
}

fn said(height: u64, round: u32) -> Statement {
    let (step, chain) = (Step::Prevote, sha256(b"chain"));
    Statement { step, chain, height, round, block: Some(sha256(b"block")), pol_round: None }
}

fn place_of_it() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = beside(&folder.path().join("validator.pem"));
    (folder, path)
}

fn opened(path: &Path) -> Standing {
    SignState::open(path, owner(1)).unwrap().unwrap().standing().clone()
}

/// One that has kept two marks, closed.
fn kept(path: &Path) {
    let mut state = SignState::create(path, owner(1), Standing::Known(None)).unwrap();
    state.keep(&said(7, 0)).unwrap();
    state.keep(&said(7, 1)).unwrap();
}

#[test]
fn what_was_kept_is_read_back_and_never_goes_down() {
    let (_folder, path) = place_of_it();
    kept(&path);
    assert_eq!(opened(&path), Standing::Known(Some(said(7, 1))));
    let mut state = SignState::open(&path, owner(1)).unwrap().unwrap();
    for lower in [said(7, 0), said(6, 9), said(7, 1)] {
        state.keep(&lower).unwrap();
    }
    drop(state);
    assert_eq!(opened(&path), Standing::Known(Some(said(7, 1))));
}

#[test]
fn a_missing_file_is_not_a_key_that_never_signed() {
    let (_folder, path) = place_of_it();
    drop(SignState::take(&path, owner(1)).unwrap());
    // Not even after a restart.
    let state = SignState::take(&path, owner(1)).unwrap();
    assert_eq!(state.standing(), &Standing::Unknown(None));
    assert!(matches!(state.signed(5), Signed::Unknown(_)));
}

#[test]
fn damage_in_either_slot_is_never_an_older_mark() {
    let check = |harm: &dyn Fn(&mut Vec<u8>)| {
        let (_folder, path) = place_of_it();
        kept(&path);
        let mut bytes = std::fs::read(&path).unwrap();
        harm(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(opened(&path), Standing::Unknown(None));
        // It is overwritten when the validator votes again.
        let mut state = SignState::open(&path, owner(1)).unwrap().unwrap();
        state.keep(&said(9, 0)).unwrap();
        state.keep(&said(9, 1)).unwrap();
        drop(state);
        assert_eq!(opened(&path), Standing::Known(Some(said(9, 1))));
    };
    let second = usize::try_from(DISTANCE).unwrap();
    for slot in [0, second] {
        check(&|bytes| bytes[slot + 1] ^= 1);
        check(&|bytes| bytes[slot + 2] ^= 1);
        check(&|bytes| bytes[slot + HEAD + 3] ^= 0x80);
        check(&|bytes| bytes[slot..slot + SLOT].fill(0));
        check(&|bytes| bytes[slot..slot + 2].fill(0xff));
    }
    check(&|bytes| bytes.truncate(second));
    check(&|bytes| bytes.clear());
}

#[test]
fn a_mark_that_was_given_up_stays_so_whichever_slot_is_damaged() {
    for slot in [0, usize::try_from(DISTANCE).unwrap()] {
        let (_folder, path) = place_of_it();
        kept(&path);
        SignState::take(&path, owner(1)).unwrap().give_up().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[slot..slot + SLOT].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let refused = SignState::take(&path, owner(1)).unwrap_err();
        assert!(matches!(refused, SignStateError::HandedOver { .. }), "{refused}");
    }
}

#[test]
fn one_file_has_one_holder_and_one_owner() {
    let (_folder, path) = place_of_it();
    let held = SignState::create(&path, owner(1), Standing::Known(None)).unwrap();
    let second = SignState::take(&path, owner(1)).unwrap_err();
    assert!(matches!(second, SignStateError::InUse { .. }), "{second}");
    drop(held);
    let other = SignState::take(&path, owner(2)).unwrap_err();
    assert!(matches!(other, SignStateError::Foreign { what: "key", .. }), "{other}");
    let again = SignState::create(&path, owner(1), Standing::Known(None)).unwrap_err();
    assert!(matches!(again, SignStateError::Exists { .. }), "{again}");
}

#[test]
fn what_was_signed_is_known_beside_the_next_key_as_well() {
    let check = |own: Standing, next: Option<Standing>, expected: Option<Standing>| {
        let (folder, path) = place_of_it();
        let other = beside(&folder.path().join("next.pem"));
        drop(SignState::create(&path, owner(1), own).unwrap());
        if let Some(next) = next {
            drop(SignState::create(&other, owner(2), next).unwrap());
        }
        let state = SignState::take(&path, owner(1)).unwrap();
        let taken = state.with_next(&other, owner(2));
        let Some(expected) = expected else {
            let error = taken.unwrap_err();
            assert!(matches!(error, SignStateError::HandedOver { .. }), "{error}");
            return;
        };
        let mut state = taken.unwrap();
        match (state.signed(5), expected) {
            (Signed::UpTo(mark), Standing::Known(known)) => assert_eq!(mark, known),
            (Signed::Unknown(_), Standing::Unknown(_)) => {}
            (signed, expected) => panic!("{signed:?} is not {expected:?}"),
        }
        // Whichever key signs, the mark is in both places, also after another start.
        state.keep(&said(9, 0)).unwrap();
        state.keep(&said(9, 1)).unwrap();
        drop(state);
        let next = SignState::take(&other, owner(2)).unwrap();
        assert_eq!(next.standing(), &Standing::Known(Some(said(9, 1))));
        assert_eq!(opened(&path), Standing::Known(Some(said(9, 1))));
    };
    let known = |height| Standing::Known(Some(said(height, 0)));
    check(known(7), None, Some(known(7)));
    check(Standing::Known(None), None, Some(Standing::Known(None)));
    check(known(7), Some(known(5)), Some(known(7)));
    check(known(5), Some(known(7)), Some(known(7)));
    check(Standing::Known(None), Some(known(7)), Some(known(7)));
    check(known(7), Some(Standing::Unknown(None)), Some(Standing::Unknown(None)));
    check(Standing::Unknown(None), Some(known(7)), Some(Standing::Unknown(None)));
    check(Standing::Unknown(None), None, Some(Standing::Unknown(None)));
    check(known(7), Some(Standing::HandedOver(None)), None);
}

mod moving {
    use clap::Parser;

    use super::*;
    use crate::sign_state::handover::SignStateArgs;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: SignStateArgs,
    }

    fn command(path: &Path, line: &[&str]) -> Result<String, SignStateError> {
        let whole = ["sign-state"].iter().chain(line).chain(&["--config", "node.toml"]);
        // No database is there, unless a test has made one.
        let data = path.with_file_name("data");
        Line::parse_from(whole).args.run(path, owner(1), &data)
    }

    #[test]
    fn a_mark_moves_with_its_key_and_votes_at_one_place_only() {
        let (folder, here) = place_of_it();
        let there = folder.path().join("there.signed");
        let file = folder.path().join("exported.json");
        let file = file.to_str().unwrap();
        kept(&here);
        command(&here, &["export", "--out", file]).unwrap();
        let stopped = SignState::take(&here, owner(1)).unwrap_err();
        assert!(matches!(stopped, SignStateError::HandedOver { .. }), "{stopped}");
        command(&there, &["import", "--nothing-signed-since", file]).unwrap();
        let mut state = SignState::take(&there, owner(1)).unwrap();
        assert_eq!(state.standing(), &Standing::Known(Some(said(7, 1))));
        state.keep(&said(8, 0)).unwrap();
        drop(state);
        // The same file a second time would bring the key below what it has signed since.
        let old = command(&there, &["import", file]).unwrap_err();
        assert!(matches!(old, SignStateError::Older { exported: 7, known: 8 }), "{old}");
        // And back.
        let back = folder.path().join("back.json");
        command(&there, &["export", "--out", back.to_str().unwrap()]).unwrap();
        command(&here, &["import", "--nothing-signed-since", back.to_str().unwrap()]).unwrap();
        assert_eq!(opened(&here), Standing::Known(Some(said(8, 0))));
    }

    #[test]
    fn an_old_mark_brings_no_key_to_vote_unless_its_operator_says_so() {
        let check = |before: &dyn Fn(&Path), told: bool, expected: Standing| {
            let (folder, path) = place_of_it();
            let file = folder.path().join("exported.json");
            let file = file.to_str().unwrap();
            kept(&path);
            command(&path, &["export", "--out", file]).unwrap();
            before(&path);
            let line: &[&str] = match told {
                true => &["import", "--nothing-signed-since", file],
                false => &["import", file],
            };
            command(&path, line).unwrap();
            assert_eq!(opened(&path), expected);
        };
        let mark = || Standing::Known(Some(said(7, 1)));
        let lost = |path: &Path| std::fs::remove_file(path).unwrap();
        let lost_and_begun = |path: &Path| {
            lost(path);
            drop(SignState::take(path, owner(1)).unwrap());
        };
        let damaged = |path: &Path| {
            lost(path);
            std::fs::write(path, [7; SLOT]).unwrap();
        };
        let behind = |path: &Path| {
            lost(path);
            let mut state = SignState::create(path, owner(1), Standing::Known(None)).unwrap();
            state.keep(&said(6, 0)).unwrap();
        };
        // What it says is the least that was signed.
        let least = || Standing::Unknown(Some(said(7, 1)));
        check(&lost, false, least());
        check(&lost_and_begun, false, least());
        check(&damaged, false, least());
        // Handed over, and perhaps used there.
        check(&|_| (), false, least());
        for at in [&lost as &dyn Fn(&Path), &lost_and_begun, &damaged, &|_| ()] {
            check(at, true, mark());
        }
        // Newer than what is known here, and perhaps not the newest.
        check(&behind, false, least());
        check(&behind, true, mark());
    }

    #[test]
    fn an_import_that_looks_on_forgets_no_mark_and_one_that_says_nothing_new_changes_nothing() {
        let (folder, path) = place_of_it();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (early, late) = (file("early.json"), file("late.json"));
        kept(&path);
        command(&path, &["export", "--out", &early]).unwrap();
        command(&path, &["import", "--nothing-signed-since", &early]).unwrap();
        // It votes here, from this very mark.
        command(&path, &["import", &early]).unwrap();
        assert_eq!(opened(&path), Standing::Known(Some(said(7, 1))));
        let mut state = SignState::take(&path, owner(1)).unwrap();
        state.keep(&said(9, 0)).unwrap();
        drop(state);
        command(&path, &["export", "--out", &late]).unwrap();
        command(&path, &["import", &late]).unwrap();
        assert_eq!(opened(&path), Standing::Unknown(Some(said(9, 0))));
        let shown = command(&path, &["show"]).unwrap();
        assert!(shown.contains("at least up to height 9"), "{shown}");
        let old = command(&path, &["import", "--nothing-signed-since", &early]).unwrap_err();
        assert!(matches!(old, SignStateError::Older { exported: 7, known: 9 }), "{old}");
        // When it votes again its mark goes on from there.
        let mut state = SignState::take(&path, owner(1)).unwrap();
        state.keep(&said(9, 0)).unwrap();
        state.keep(&said(12, 0)).unwrap();
        drop(state);
        assert_eq!(opened(&path), Standing::Known(Some(said(12, 0))));
    }

    #[test]
    fn a_key_that_had_a_vote_in_the_database_is_not_called_new() {
        use symbolon_ledger::codec;

        use crate::storage::{
            Store,
            schema::{cf, height_key, meta},
        };

        let (genesis, keys) =
            symbolon_genesis::presets::devnet_from_seed(4, &[1; 32], 1_700_000_000_000, 1);
        let (_folder, path) = place_of_it();
        let data = path.with_file_name("data");
        let check = |line: &[&str], key: PublicKey, refused: Option<u64>| {
            let whole = ["sign-state"].iter().chain(line).chain(&["--config", "node.toml"]);
            let owner = Owner { chain: genesis.chain_id(), province: keys[0].province, key };
            match (Line::parse_from(whole).args.run(&path, owner, &data), refused) {
                (Ok(_), None) => std::fs::remove_file(&path).unwrap(),
                (Err(SignStateError::Voted { height, .. }), Some(expected)) => {
                    assert_eq!(height, expected, "{line:?}");
                    assert!(!path.exists());
                }
                (other, _) => panic!("{line:?}: {other:?}"),
            }
        };
        let (voter, other) = (keys[0].validator.public_key(), owner(7).key);
        check(&["new"], voter, None);
        let store = Store::open(&data, &genesis).unwrap();
        check(&["new"], voter, None);
        let mut header = store.view().unwrap().tip().header.clone();
        header.height = 5;
        store.put_for_a_test(cf::HEADERS, &height_key(5), &codec::encode(&header));
        store.put_for_a_test(cf::META, meta::TIP, &height_key(5));
        check(&["new"], voter, Some(5));
        check(&["new", "--signed-up-to", "4"], voter, Some(5));
        check(&["new", "--signed-up-to", "5"], voter, None);
        check(&["new"], other, None);
    }

    #[test]
    fn an_operator_says_what_a_key_has_signed_once() {
        let (_folder, path) = place_of_it();
        command(&path, &["new", "--signed-up-to", "41"]).unwrap();
        let Standing::Known(Some(mark)) = opened(&path) else { panic!("a mark") };
        assert_eq!((mark.height, mark.round), (41, u32::MAX));
        let shown = command(&path, &["show", "--json"]).unwrap();
        assert!(
            shown.contains("\"state\":\"known\"") && shown.contains("\"height\":41"),
            "{shown}"
        );
        let again = command(&path, &["new"]).unwrap_err();
        assert!(matches!(again, SignStateError::Exists { .. }), "{again}");
    }

    #[test]
    fn what_is_not_known_cannot_be_handed_over() {
        let (folder, path) = place_of_it();
        let out = folder.path().join("out.json");
        let none = command(&path, &["show"]).unwrap_err();
        assert!(matches!(none, SignStateError::Missing { .. }), "{none}");
        assert!(none.to_string().contains("just start the node: it looks on"), "{none}");
        drop(SignState::take(&path, owner(1)).unwrap());
        let unknown = command(&path, &["export", "--out", out.to_str().unwrap()]).unwrap_err();
        assert!(matches!(unknown, SignStateError::Unknown { .. }), "{unknown}");
        assert!(!out.exists());
    }

    #[test]
    fn a_file_that_is_no_export_of_this_key_is_refused() {
        let (folder, path) = place_of_it();
        let file = folder.path().join("exported.json");
        kept(&path);
        command(&path, &["export", "--out", file.to_str().unwrap()]).unwrap();
        let good = std::fs::read_to_string(&file).unwrap();
        let check = |from: &str, to: &str, expected: &str| {
            let text = good.replace(from, to);
            assert_ne!(text, good);
            std::fs::write(&file, text).unwrap();
            let there = folder.path().join("there.signed");
            let error = command(&there, &["import", file.to_str().unwrap()]).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!there.exists());
        };
        check("\"province\": \"44\"", "\"province\": \"31\"", "another province");
        check("\"version\": 1", "\"version\": 2", "another release");
        check("prevote", "preview", "not an exported sign state");
        check("\"height\"", "\"depth\"", "not an exported sign state");
        check("{", "", "not an exported sign state");
        let refuse = |line: &[&str], path: &Path, expected: &str| {
            let error = command(path, line).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let there = folder.path().join("there.signed");
        std::fs::write(&file, [0xff; 90]).unwrap();
        refuse(&["import", file.to_str().unwrap()], &there, "not an exported sign state");
        refuse(&["import", "/nowhere/mark.json"], &there, "name the one that");
        // The mark is not retired when there is no place for it.
        drop(SignState::create(&there, owner(1), Standing::Known(None)).unwrap());
        let taken = &["export", "--out", file.to_str().unwrap()];
        refuse(taken, &there, "an export replaces nothing");
        assert_eq!(opened(&there), Standing::Known(None));
    }
}
