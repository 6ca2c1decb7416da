//! `symbolon-node check-config`: all that `run` would refuse, at once, and what it would warn of.
//!
//! It reads the configuration, every file that this names, the mark of what the validator's key has
//! signed, and the chain in the data folder, and writes none of them. Whether a port is free only
//! [`crate::node::run`] finds out.

use std::path::{Path, PathBuf};

use symbolon_ledger::{hash::ChainId, state::StateKey};

use crate::{
    config::{self, Loaded},
    execution, node,
    sign_state::{Owner, SignState, SignStateError, Standing},
    storage::{StorageError, Store},
};

/// Any of the errors of a node that does not start.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// The chain, when configuration and genesis could be read.
    pub chain: Option<ChainId>,
    /// For each of these the node would not start.
    pub errors: Vec<AnyError>,
    /// These it would say, and run.
    pub warnings: Vec<String>,
}

/// Looks at the configuration at `path` and everything that it leads to. `now_ms` is this machine's
/// clock, in milliseconds since 1970.
#[must_use]
pub fn check(path: &Path, insecure_public: bool, now_ms: u64) -> Findings {
    let mut findings = Findings::default();
    let read = match config::read(path) {
        Ok(read) => read,
        Err(error) => {
            findings.errors.push(error.into());
            return findings;
        }
    };
    let addresses = node::check_addresses(&read.config, read.genesis.as_ref(), insecure_public);
    match read.loaded() {
        Ok(loaded) => {
            findings.chain = Some(loaded.genesis.chain_id());
            findings.errors.extend(addresses.into_iter().map(AnyError::from));
            findings.look_at_the_chain(&loaded);
            findings.look_at_the_marks(&loaded);
            let founded = node::check_founded(loaded.genesis.chain.genesis_time_ms, now_ms);
            findings.warnings.extend(founded.err().map(|error| error.to_string()));
        }
        Err(problems) => {
            findings.errors.extend(problems.into_iter().map(AnyError::from));
            findings.errors.extend(addresses.into_iter().map(AnyError::from));
        }
    }
    findings
}

impl Findings {
    /// Whether the data folder is this chain's, and who votes by what is in it.
    fn look_at_the_chain(&mut self, loaded: &Loaded) {
        match standing(loaded) {
            Ok(Some(Chain { height, has_province, doubts })) => {
                let unfounded = loaded.unfounded_province().filter(|_| !has_province);
                self.warnings.extend(unfounded.map(|doubt| format!("by genesis, {doubt}")));
                let told =
                    |doubt| format!("at height {height}, to which data_dir has the chain, {doubt}");
                self.warnings.extend(doubts.into_iter().map(told));
            }
            Ok(None) => self.doubt_by_genesis(loaded, ""),
            Err(StorageError::Locked(data)) => {
                self.warnings.push(format!(
                    "{} is in use by another process; if that is this node, all is well, and what is in it was not looked at",
                    data.display()
                ));
                let since = "; the provinces may have decided otherwise since: `voting` in /v1/status tells";
                self.doubt_by_genesis(loaded, since);
            }
            Err(error) => self.errors.push(error.into()),
        }
    }

    fn doubt_by_genesis(&mut self, loaded: &Loaded, since: &str) {
        let doubts = loaded.doubts(&loaded.genesis.validator_set());
        let doubts = loaded.unfounded_province().into_iter().chain(doubts);
        self.warnings.extend(doubts.map(|doubt| format!("by genesis, {doubt}{since}")));
    }

    /// Whether it is known what the keys have signed.
    fn look_at_the_marks(&mut self, loaded: &Loaded) {
        if let Some((path, owner)) = loaded.sign_state() {
            self.look_at_a_mark(path, owner, Next::No);
        }
        if let Some((path, owner)) = loaded.next_sign_state() {
            self.look_at_a_mark(path, owner, Next::Yes);
        }
    }

    fn look_at_a_mark(&mut self, path: PathBuf, owner: Owner, next: Next) {
        let file = path.display();
        let looks_on = "the validator looks on for whole heights before it votes; only if its key never voted: symbolon-node sign-state new";
        match SignState::open(&path, owner).map(|state| state.map(|s| s.standing().clone())) {
            Ok(Some(Standing::HandedOver(_))) => {
                self.errors.push(SignStateError::HandedOver { path }.into());
            }
            Ok(Some(Standing::Unknown(_))) => self.warnings.push(format!(
                "sign state {file} is damaged, or does not know what was signed: {looks_on}"
            )),
            Ok(None) if next == Next::No => {
                self.warnings.push(format!("there is no sign state {file}: {looks_on}"));
            }
            // That of a next key begins with what that of the key itself says.
            Ok(Some(Standing::Known(_)) | None) => {}
            // What `run` says, to stop that node first, is for who wants to run this one.
            Err(SignStateError::InUse { .. }) => self.warnings.push(format!(
                "sign state {file} is in use by another process; if that is this node, all is well, and what it signed was not looked at"
            )),
            Err(error) => self.errors.push(error.into()),
        }
    }
}

/// Whose mark it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The key's that votes.
    No,
    /// The key's that is to take over.
    Yes,
}

/// What the chain in the data folder says of this node.
struct Chain {
    height: u64,
    /// Whether the provinces have this node's among them.
    has_province: bool,
    doubts: Vec<String>,
}

fn standing(loaded: &Loaded) -> Result<Option<Chain>, StorageError> {
    let Some(store) = Store::look(&loaded.config.data_dir, &loaded.genesis)? else {
        return Ok(None);
    };
    let view = store.view()?;
    Ok(Some(Chain {
        height: view.tip().height,
        has_province: view.raw(&StateKey::Province(loaded.province))?.is_some(),
        doubts: loaded.doubts(&execution::validators(&view)?.set),
    }))
}
