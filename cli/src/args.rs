//! What is given on the command line: the flags that every command knows, and what they stand for.
//!
//! The flags of single commands are declared beside each command. `--devnet D --as 44` is a short
//! way to say `--node` and `--key`; an explicit `--node` or `--key` wins.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::{
    commands::Command,
    devnet_file::DevnetFile,
    output::{Failure, Output},
};

/// Electronic licences on one ledger of all provinces.
#[derive(Debug, Parser)]
#[command(name = "symbolon", version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that stand before or after the command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The node to ask, such as http://127.0.0.1:8101
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) node: Option<String>,
    /// The private key that signs (PKCS#8 PEM)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Folder of a development network: takes the node and the key from its devnet.json
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) devnet: Option<PathBuf>,
    /// With --devnet: the province as whose agency or authority to act, such as 44; or the agency
    #[arg(long = "as", global = true, value_name = "PROVINCE|USCC")]
    pub(crate) acting_as: Option<String>,
    /// Exactly one line of JSON on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What every command is given beside its own arguments.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) output: Output,
}

impl Context {
    /// The development network of `--devnet`, if one is named.
    ///
    /// # Errors
    ///
    /// When its file cannot be read.
    pub(crate) fn network(&self) -> Result<Option<DevnetFile>, Failure> {
        self.global.devnet.as_deref().map(DevnetFile::read).transpose()
    }

    /// The node to ask: `--node`, or with `--devnet` the node of `--as`, or else its first node.
    ///
    /// # Errors
    ///
    /// When nothing names a node.
    pub(crate) fn node_url(&self) -> Result<String, Failure> {
        if let Some(url) = &self.global.node {
            return origin(url);
        }
        let Some(network) = self.network()? else {
            return Err(Failure::usage(
                "no_node",
                "this command asks a node, and none was named",
                "give --node URL, such as --node http://127.0.0.1:8101, or --devnet DIR",
            ));
        };
        let node = match self.acting_province(&network) {
            Some(province) => network.nodes.iter().find(|n| n.province == province),
            None => network.nodes.first(),
        };
        node.map(|n| n.http.clone()).ok_or_else(|| self.no_such_province(&network))
    }

    /// The file of the key that signs for an agency: `--key`, or with `--devnet` that of the
    /// agency of `--as`.
    ///
    /// # Errors
    ///
    /// When nothing names a key.
    pub(crate) fn agency_key_file(&self) -> Result<PathBuf, Failure> {
        self.key_file(|network, province| {
            network.agencies.iter().find(|a| a.province == province).map(|a| a.key_file.clone())
        })
    }

    /// The file of the key that signs for a province's authority: `--key`, or with `--devnet` that
    /// of the province of `--as`.
    ///
    /// # Errors
    ///
    /// When nothing names a key.
    pub(crate) fn authority_key_file(&self) -> Result<PathBuf, Failure> {
        self.key_file(|network, province| {
            network.provinces.iter().find(|p| p.code == province).map(|p| p.key_file.clone())
        })
    }

    fn key_file(
        &self,
        find: impl Fn(&DevnetFile, &str) -> Option<PathBuf>,
    ) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.global.key {
            return Ok(path.clone());
        }
        let network = self.network()?;
        let province = network.as_ref().and_then(|network| self.acting_province(network));
        let (Some(network), Some(province)) = (&network, province) else {
            return Err(Failure::usage(
                "no_key",
                "this command signs, and no key was named",
                "give --key FILE, or --devnet DIR --as PROVINCE",
            ));
        };
        find(network, province).ok_or_else(|| self.no_such_province(network))
    }

    /// The province that `--as` names, or whose agency it names by its credit code.
    fn acting_province<'a>(&'a self, network: &'a DevnetFile) -> Option<&'a str> {
        let named = self.global.acting_as.as_deref()?;
        let agency = network.agencies.iter().find(|agency| agency.uscc == named);
        Some(agency.map_or(named, |agency| agency.province.as_str()))
    }

    fn no_such_province(&self, network: &DevnetFile) -> Failure {
        let wanted = self.global.acting_as.as_deref().unwrap_or_default();
        let known: Vec<&str> = network.provinces.iter().map(|p| p.code.as_str()).collect();
        Failure::usage(
            "no_such_province",
            format!("this network has no province {wanted}"),
            format!("give --as with one of: {}", known.join(" ")),
        )
    }
}

/// A node's URL as the rest of the program wants it: without a final slash.
///
/// # Errors
///
/// When it is none.
pub(crate) fn origin(url: &str) -> Result<String, Failure> {
    let plain = url.trim_end_matches('/');
    let host = plain.strip_prefix("http://").or_else(|| plain.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', ' ']) => {
            Ok(plain.to_owned())
        }
        _ => Err(Failure::usage(
            "bad_node_url",
            format!("{url} is not the URL of a node"),
            "give scheme, host and port, such as http://127.0.0.1:8101",
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_declared_without_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in [
            "symbolon --json --as 44 devnet down --dir d",
            "symbolon devnet down --dir d --json --as 44",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).expect("a good line");
            assert!(cli.global.json, "{line}");
            assert_eq!(cli.global.acting_as.as_deref(), Some("44"), "{line}");
        }
    }

    #[test]
    fn a_node_is_named_by_scheme_host_and_port() {
        assert_eq!(origin("http://127.0.0.1:8101/").ok().as_deref(), Some("http://127.0.0.1:8101"));
        for bad in ["127.0.0.1:8101", "http://", "http://a/v1", "ftp://a", ""] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
