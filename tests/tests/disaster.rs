//! A network that loses a third of its nodes, then everything but backups, and then a site: the
//! runbook of `docs/operating/recovery.md`, played through.
//!
//! One network of real nodes for all of it, since each loss meets what the one before has left. The
//! times that it took are printed; none is required. What a backup is made of is in `backup.rs`.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "disaster/fleet.rs"]
mod fleet;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, Instant},
};

use fleet::{Fleet, PROVINCES, STANDBY, cids, done, symbolon_node};
use nix::sys::signal::Signal;
use serde_json::Value;
use symbolon_tests::devnet::{await_that, symbolon};

#[test]
fn a_third_then_everything_then_a_site_is_lost_and_nothing_acknowledged_is() {
    let mut fleet = Fleet::founded();
    let licences = import(&fleet);
    let early = fleet.back_up("31", "early").1;
    backed_up_while_it_works(&fleet);
    let third = a_third_is_lost(&mut fleet, &early);
    let kept = Kept::of(&fleet, &licences);
    let everything = everything_is_lost(&mut fleet, &early);
    kept.holds(&fleet, &licences);
    let site = a_site_is_lost(&mut fleet);
    kept.holds(&fleet, &licences);
    for province in PROVINCES {
        fleet.end(province, Signal::SIGTERM);
        let config = fleet.file(province, "config.toml");
        done(&["verify-chain", "--json", "--config", &config]);
    }
    println!(
        "a node that lost all votes again after {third:.1?}; a network with backups only makes a block after {everything:.1?}; a second site votes after {site:.1?}"
    );
}

/// Issues licences in Guangdong and revokes one; the folder of their credentials.
fn import(fleet: &Fleet) -> PathBuf {
    let out = fleet.net.folder().join("licences");
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/business-licences.jsonl");
    let (kind, out_text) = ("11100000MB0143028R001", out.to_string_lossy());
    let said =
        fleet.net.symbolon(&["--as", "44", "import", "--type", kind, "--out", &out_text, data]);
    good(&said);
    let first = &cids(&out)[0];
    good(&fleet.net.symbolon(&["--as", "44", "revoke", first]));
    out
}

/// A backup of a node that takes part in blocks meanwhile is whole, and holds all that came before.
fn backed_up_while_it_works(fleet: &Fleet) {
    let before = fleet.height("44").unwrap();
    let (height, folder) = std::thread::scope(|scope| {
        let backup = scope.spawn(|| fleet.back_up("44", "late"));
        while !backup.is_finished() {
            fleet.grow();
        }
        backup.join().unwrap()
    });
    assert!(height >= before, "{height} and not {before}");
    let found = done(&["backup", "verify", &folder, "--execute", "--json"]);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["height"], height);
    let config = fleet.file("44", "config.toml");
    let over = symbolon_node(&["backup", "restore", &folder, "--config", &config]);
    let said = String::from_utf8_lossy(&over.stderr);
    assert!(!over.status.success() && said.contains("is not empty"), "{said}");
}

/// One of four loses all but its key, and comes back by another province's backup.
fn a_third_is_lost(fleet: &mut Fleet, backup: &str) -> Duration {
    fleet.end("51", Signal::SIGKILL);
    let begun = Instant::now();
    fleet.lose("51");
    fleet.grow();
    let said = fleet.restore("51", backup);
    assert!(said.contains("looks on"), "{said}");
    fleet.start("51");
    let votes = |fleet: &Fleet| fleet.voting("51").as_deref() == Some("votes");
    assert!(!votes(fleet), "it votes and does not know what it has signed");
    fleet.grow_until("it votes again", || votes(fleet));
    let took = begun.elapsed();
    // Two of the others are enough with it, and not without it.
    fleet.end("31", Signal::SIGKILL);
    fleet.grow();
    fleet.start("31");
    took
}

/// What was acknowledged: licences as they stand, and receipts, byte by byte, as node 11 gave them.
struct Kept {
    licences: BTreeMap<String, Value>,
    receipts: BTreeMap<String, Vec<u8>>,
}

impl Kept {
    fn of(fleet: &Fleet, licences: &Path) -> Self {
        // Pinned below what it is to show.
        bundle(fleet, "pinned");
        let ids: Vec<_> = (0..3).map(|_| fleet.grow()).collect();
        Self {
            licences: cids(licences).into_iter().map(|cid| standing(fleet, cid)).collect(),
            receipts: ids.into_iter().map(|id| receipt(fleet, id, "before")).collect(),
        }
    }

    fn holds(&self, fleet: &Fleet, licences: &Path) {
        let now: BTreeMap<_, _> =
            self.licences.keys().map(|cid| standing(fleet, cid.clone())).collect();
        assert_eq!(self.licences, now, "a licence stands otherwise");
        let after = format!("at-{}", fleet.height("11").unwrap());
        for (id, bytes) in &self.receipts {
            assert_eq!(receipt(fleet, id.clone(), &after).1, *bytes, "another receipt of {id}");
            let (file, pinned) = (fleet.beside(&format!("before-{id}")), fleet.beside("pinned"));
            good(&symbolon(["receipt", "verify", &file, "--trust", &pinned]));
        }
        // The bundle that was kept before everything was lost leads on to what is there now.
        fs::copy(fleet.beside("pinned"), fleet.beside(&after)).unwrap();
        bundle(fleet, &after);
        let own = |cid: &String| licences.join(format!("{cid}.sdjwt")).display().to_string();
        for (cid, expected) in self.licences.keys().zip([1, 0, 0]) {
            let said = symbolon(["--node", &fleet.origin("11"), "verify", &own(cid)]);
            assert_eq!(said.status.code(), Some(expected), "{cid}");
        }
    }
}

fn good(said: &Output) {
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// Keeps the trust bundle under this name, or extends the one that is kept.
fn bundle(fleet: &Fleet, name: &str) {
    let (node, genesis, out) =
        (fleet.origin("11"), fleet.beside("genesis.toml"), fleet.beside(name));
    let get = ["--node", &node, "trust-bundle", "get", "--genesis", &genesis, "--out", &out];
    good(&symbolon(get));
}

fn standing(fleet: &Fleet, cid: String) -> (String, Value) {
    let (status, licence) = fleet.get(&format!("/v1/licences/{cid}"));
    assert_eq!(status, 200, "{cid}: {licence}");
    let stands = serde_json::json!([licence["status"], licence["record"]]);
    (cid, stands)
}

fn receipt(fleet: &Fleet, id: String, when: &str) -> (String, Vec<u8>) {
    let (file, node) = (fleet.beside(&format!("{when}-{id}")), fleet.origin("11"));
    good(&symbolon(["--node", &node, "receipt", "get", &id, "--out", &file]));
    (id, fs::read(file).unwrap())
}

/// All four lose all but their keys. One has a backup of everything that was acknowledged, the
/// others what is there.
fn everything_is_lost(fleet: &mut Fleet, early: &str) -> Duration {
    let (height, newest) = fleet.back_up("11", "newest");
    PROVINCES.iter().for_each(|province| fleet.end(province, Signal::SIGKILL));
    PROVINCES.iter().for_each(|province| fleet.lose(province));
    let begun = Instant::now();
    let late = fleet.beside("late");
    let backups = [("11", newest.as_str()), ("31", early), ("44", late.as_str()), ("51", early)];
    let up_to = height.to_string();
    for (province, backup) in backups {
        done(&["backup", "verify", backup]);
        fleet.restore(province, backup);
        let config = fleet.file(province, "config.toml");
        done(&["sign-state", "new", "--config", &config, "--signed-up-to", &up_to]);
    }
    // From here on Guangdong has a second site.
    fleet.rewrite("44", "network_key", "two_sites = true\nnetwork_key");
    PROVINCES.iter().for_each(|province| fleet.launch(province));
    fleet.await_height(&PROVINCES, height + 1);
    let took = begun.elapsed();
    fleet.grow();
    took
}

/// Guangdong's node freezes, its second site takes over, and the first one comes back.
fn a_site_is_lost(fleet: &mut Fleet) -> Duration {
    fleet.set_standby_up();
    fleet.start(STANDBY);
    let ear = fleet.ear();
    for province in PROVINCES {
        fleet.grow_until("everybody is heard", || ear.last_of(province) > 0);
    }
    fleet.signal("44", Signal::SIGSTOP);
    let begun = Instant::now();
    let frozen = ear.last_of("44");
    // The second site's own words: its vote is switched on.
    fleet.end(STANDBY, Signal::SIGTERM);
    let key = fleet.file("44", "validator.pem");
    let switched = format!("role = \"validator\"\nvalidator_key = {key:?}\ntwo_sites = true");
    fleet.rewrite(STANDBY, "role = \"observer\"", &switched);
    let mark = format!("sign_state = {:?}\nnetwork_key", fleet.file(STANDBY, "signed"));
    fleet.rewrite(STANDBY, "network_key", &mark);
    fleet.start(STANDBY);
    assert_eq!(fleet.voting(STANDBY).as_deref(), Some("looks_on"));
    fleet.grow_until("it votes", || fleet.voting(STANDBY).as_deref() == Some("votes"));
    let took = begun.elapsed();
    fleet.grow_until("it is heard", || ear.last_of("44") > frozen + 2);
    // The first one knows nothing of it, and stops as soon as it does.
    fleet.signal("44", Signal::SIGCONT);
    let last = await_end_growing(fleet);
    assert!(last.contains("its other site is on"), "{last}");
    let again = symbolon_node(&["run", "--config", &fleet.file("44", "config.toml")]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && said.contains("given up"), "{said}");
    // The vote counts: two of the others are enough with it. A slow site may look on for a while.
    fleet.grow_until("it votes", || fleet.voting(STANDBY).as_deref() == Some("votes"));
    fleet.end("31", Signal::SIGKILL);
    fleet.grow();
    fleet.start("31");
    the_mark_travels_back(fleet);
    let spoken = ear.last_of("44");
    fleet.grow_until("it is heard again", || ear.last_of("44") > spoken);
    assert!(ear.contradicting().is_empty(), "{}", ear.contradictions());
    let (_, evidence) = fleet.get("/v1/evidence");
    assert_eq!(evidence["items"].as_array().map(Vec::len), Some(0), "{evidence}");
    took
}

/// Blocks go on until the first site has ended.
fn await_end_growing(fleet: &mut Fleet) -> String {
    let log = fleet.file("44", "log");
    fleet.grow_until("the first site stops", || {
        fs::read_to_string(&log).unwrap().contains("its other site is on")
    });
    fleet.await_end("44")
}

/// The second site hands the vote back, and is an observer again.
fn the_mark_travels_back(fleet: &mut Fleet) {
    fleet.end(STANDBY, Signal::SIGTERM);
    let (first, second) = (fleet.file("44", "config.toml"), fleet.file(STANDBY, "config.toml"));
    let mark = fleet.beside("mark.json");
    done(&["sign-state", "export", "--config", &second, "--out", &mark]);
    done(&["sign-state", "import", "--config", &first, "--nothing-signed-since", &mark]);
    fleet.start("44");
    fleet.grow_until("it votes again", || fleet.voting("44").as_deref() == Some("votes"));
    let over = symbolon_node(&["run", "--config", &second]);
    let said = String::from_utf8_lossy(&over.stderr);
    assert!(!over.status.success() && said.contains("handed over"), "{said}");
    await_that("its height", || fleet.height("44") >= fleet.height("31"));
}
