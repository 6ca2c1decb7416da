//! How `symbolon-node` ends when it cannot do its work. The statuses and the line of `--json` are those
//! of `symbolon`, so that one script can call both: `docs/reference/node.md`.

use std::error::Error;

use serde_json::json;

use crate::{
    backup::BackupError, config::ConfigError, http::HttpError, node::NodeError,
    sign_state::SignStateError, storage::StorageError, verify_chain::VerifyError,
};

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// How the program ends.
    pub status: u8,
    /// A stable word for programs.
    pub code: &'static str,
    /// What is wrong and how to mend it, for people.
    pub text: String,
}

impl Failed {
    /// Refused, wrong or failed.
    pub const REFUSED: u8 = 1;
    /// The command line, or a file that it names or leads to, cannot be used.
    pub const USAGE: u8 = 2;

    /// What an error comes to.
    #[must_use]
    pub fn of(error: &(dyn Error + Send + Sync + 'static)) -> Self {
        let (status, code) = class(error);
        Self { status, code, text: error.to_string() }
    }

    /// The command line is wrong.
    #[must_use]
    pub fn usage(text: &str) -> Self {
        Self { status: Self::USAGE, code: "usage", text: text.to_owned() }
    }

    /// The line of `--json`. How to mend it stands after the first semicolon of what an error says.
    #[must_use]
    pub fn json(&self) -> String {
        let elsewhere = match self.status {
            Self::USAGE => {
                "symbolon-node help, and docs/operating/founding.md for the configuration"
            }
            _ => "docs/operating/runbook.md lists what nodes say, and what to do",
        };
        let (message, hint) = self.text.split_once("; ").unwrap_or((&self.text, elsewhere));
        json!({"error": {"code": self.code, "message": message, "hint": hint}}).to_string()
    }
}

fn class(error: &(dyn Error + Send + Sync + 'static)) -> (u8, &'static str) {
    let (refused, usage) = (Failed::REFUSED, Failed::USAGE);
    if error.is::<ConfigError>() {
        return (usage, "bad_configuration");
    }
    if let Some(error) = error.downcast_ref::<BackupError>() {
        return match error {
            BackupError::Config(_) => (usage, "bad_configuration"),
            BackupError::Taken(_) | BackupError::Inside(_) | BackupError::NoManifest(_) => {
                (usage, "bad_folder")
            }
            _ => (refused, "backup_failed"),
        };
    }
    if let Some(error) = error.downcast_ref::<NodeError>() {
        return match error {
            NodeError::Address { .. }
            | NodeError::NoPeerId(_)
            | NodeError::PeerId { .. }
            | NodeError::HalfTls
            | NodeError::Http(
                HttpError::NotLoopback(_) | HttpError::AdminNotLoopback(_) | HttpError::Tls { .. },
            ) => (usage, "bad_configuration"),
            NodeError::SignState(_) => (refused, "sign_state"),
            NodeError::Storage(_) => (refused, "storage"),
            _ => (refused, "node_stopped"),
        };
    }
    match error.downcast_ref::<SignStateError>() {
        Some(SignStateError::Export { .. }) => return (usage, "bad_export"),
        Some(_) => return (refused, "sign_state"),
        None => {}
    }
    if error.is::<StorageError>() {
        return (refused, "storage");
    }
    let code = if error.is::<VerifyError>() { "chain_does_not_hold" } else { "failed" };
    (refused, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_on_the_command_line_ends_with_two_and_the_rest_with_one() {
        let check = |error: Box<dyn Error + Send + Sync>, status, code| {
            let failed = Failed::of(&*error);
            assert_eq!((failed.status, failed.code), (status, code), "{}", failed.text);
        };
        let config = || ConfigError::Value { key: "province", problem: "of two digits".into() };
        check(config().into(), 2, "bad_configuration");
        check(BackupError::from(config()).into(), 2, "bad_configuration");
        check(BackupError::Taken("out".into()).into(), 2, "bad_folder");
        check(BackupError::Busy("data".into()).into(), 1, "backup_failed");
        check(NodeError::NoPeerId("/ip4/192.0.2.1/tcp/1".into()).into(), 2, "bad_configuration");
        check(NodeError::HalfTls.into(), 2, "bad_configuration");
        check(NodeError::Fault("disk".into()).into(), 1, "node_stopped");
        let handed = || SignStateError::HandedOver { path: "key.signed".into() };
        check(handed().into(), 1, "sign_state");
        check(NodeError::from(handed()).into(), 1, "sign_state");
        check(StorageError::Absent("data".into()).into(), 1, "storage");
        check("something else".into(), 1, "failed");
    }

    #[test]
    fn the_line_for_programs_has_what_is_wrong_and_how_to_mend_it() {
        let failed = Failed::of(&StorageError::Locked("data".into()));
        let line: serde_json::Value = serde_json::from_str(&failed.json()).unwrap();
        let error = &line["error"];
        assert_eq!(error["message"], "data folder data is in use by another process");
        assert_eq!(error["hint"], "stop that one, or choose another data_dir");
        assert_eq!(error["code"], "storage");
        let without = Failed::usage("unexpected argument").json();
        assert!(without.contains("\"hint\":\"symbolon-node help"), "{without}");
    }
}
