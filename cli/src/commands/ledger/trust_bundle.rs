//! `symbolon trust-bundle get` and `verify`: what an offline verifier keeps and believes.
//!
//! A kept bundle is only ever extended: same chain, same past, never back. The first one is held
//! against the founding document or a known block; without either it is believed as it came, and
//! this says so.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use symbolon_credential::encoding::to_base64url;
use symbolon_ledger::{
    block::Header,
    codec,
    inclusion::MAX_INCLUSION_BYTES,
    trust_bundle::{MAX_TRUST_BUNDLE_BYTES, TrustBundle},
};
use symbolon_verify::{
    instant,
    trust::{ExtendError, Trust},
};

use super::trusted::{Inclusions, Pin, Source, dated, not_believed};
use crate::{
    args::Context,
    client::Node,
    clock, files,
    output::{Answer, Failure, Outcome},
};

/// Trust bundles: what is believed when there is no network
#[derive(Debug, Subcommand)]
pub(crate) enum TrustBundleCommand {
    /// Ask a node for the newest trust bundle; a kept one is extended and never replaced
    Get(GetArgs),
    /// Check a trust bundle without any node
    Verify(VerifyArgs),
}

/// Where to keep it, and what to hold it against.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Where the bundle is kept; one that is there already is extended
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The founding document of the chain, from a source that you trust
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// A block that you know from another source
    #[arg(long, value_name = "HEIGHT:HASH", conflicts_with = "genesis")]
    pin: Option<Pin>,
}

/// What to check, and against what.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The trust bundle
    file: PathBuf,
    /// The founding document of the chain, from a source that you trust
    #[arg(long, value_name = "FILE", required_unless_present = "pin")]
    genesis: Option<PathBuf>,
    /// A block that you know from another source
    #[arg(long, value_name = "HEIGHT:HASH", conflicts_with = "genesis")]
    pin: Option<Pin>,
    /// The inclusion of the known block under the one at which the bundle ends
    #[arg(long, value_name = "FILE", requires = "pin")]
    inclusion: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(command: &TrustBundleCommand, context: &Context) -> Outcome {
    match command {
        TrustBundleCommand::Get(args) => get(args, context),
        TrustBundleCommand::Verify(args) => verify(args),
    }
}

fn get(args: &GetArgs, context: &Context) -> Outcome {
    let node = Node::of(context)?;
    let source = Source { genesis: args.genesis.clone(), pin: args.pin };
    let Some(path) = &args.out else {
        let trust = first(&node, &source)?;
        note_unanchored(&source, &trust, context);
        let bundle = to_base64url(&trust.to_bytes());
        let mut answer = describe(&trust);
        answer["bundle"] = json!(bundle);
        return Ok(Answer::new(bundle, answer));
    };
    // Two runs at once must not put back what the other one has extended.
    let _lock = files::lock(&files::suffixed(path, ".lock"), true)?;
    let kept = path.exists().then(|| read_kept(&node, &source, path)).transpose()?;
    let (trust, done) = match &kept {
        None => {
            let trust = first(&node, &source)?;
            note_unanchored(&source, &trust, context);
            (trust, "pinned for the first time".to_owned())
        }
        Some(kept) => {
            let trust = extend(&node, kept, path)?;
            let from = kept.pin().header().height;
            let same = from == trust.pin().header().height;
            (
                trust,
                if same {
                    "already the newest".to_owned()
                } else {
                    format!("extended from height {from}")
                },
            )
        }
    };
    if kept.is_none_or(|kept| kept != trust) {
        files::write(path, &trust.to_bytes())?;
    }
    let mut answer = describe(&trust);
    answer["file"] = json!(path);
    answer["done"] = json!(done);
    Ok(Answer::new(format!("{}\n{done}, kept in {}", lines(&trust), path.display()), answer))
}

fn fetch(node: &Node) -> Result<Vec<u8>, Failure> {
    Ok(node.cbor("/v1/trust-bundle", MAX_TRUST_BUNDLE_BYTES)?)
}

/// The inclusion of block `height` under the head of a bundle; none where none is needed.
fn link(node: &Node, height: u64, bundle: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let bundle = codec::decode::<TrustBundle>(bundle, MAX_TRUST_BUNDLE_BYTES).ok();
    let head = bundle.and_then(|bundle| Header::decode(&bundle.head.header).ok());
    match head {
        Some(head) if head.height > height => {
            let path = format!("/v1/blocks/{height}/inclusion?head={}", head.height);
            Ok(Some(node.cbor(&path, MAX_INCLUSION_BYTES)?))
        }
        // What is wrong with any other bundle is said by its check.
        _ => Ok(None),
    }
}

/// The bundle that is kept; a pin that it has passed is shown to be in its history.
fn read_kept(node: &Node, source: &Source, path: &Path) -> Result<Trust, Failure> {
    let bytes = files::read(path, MAX_TRUST_BUNDLE_BYTES as u64, "the trust bundle")?;
    let link = match source.pin {
        Some(pin) => link(node, pin.height, &bytes)?,
        None => None,
    };
    source.check(&bytes, link.as_deref())
}

fn first(node: &Node, source: &Source) -> Result<Trust, Failure> {
    let bytes = fetch(node)?;
    let link = match source.pin {
        Some(pin) => link(node, pin.height, &bytes)?,
        None => None,
    };
    source.check(&bytes, link.as_deref())
}

fn extend(node: &Node, kept: &Trust, path: &Path) -> Result<Trust, Failure> {
    let bytes = fetch(node)?;
    let link = link(node, kept.pin().header().height, &bytes)?;
    kept.extend(&bytes, link.as_deref(), clock::now_ms()).map_err(|error| {
        let failure = match error {
            ExtendError::Bundle(error) => not_believed(&error),
            other => Failure::refused(
                "fork",
                other.to_string(),
                "keep both as evidence, tell the provinces, and ask another node",
            ),
        };
        let message = format!("{}; {} stays as it is", failure.message, path.display());
        Failure { message, ..failure }
    })
}

fn note_unanchored(source: &Source, trust: &Trust, context: &Context) {
    if !source.is_given() {
        context.output.note(format!(
            "warning: believed as the node gave it; compare the pin {} with another source, or give --genesis FILE",
            pin(trust)
        ));
    }
}

fn verify(args: &VerifyArgs) -> Outcome {
    let source = Source { genesis: args.genesis.clone(), pin: args.pin };
    let inclusions = Inclusions::read(args.inclusion.as_slice())?;
    let trust = source.check_file(&args.file, inclusions.first())?;
    let mut answer = describe(&trust);
    answer["valid"] = json!(true);
    Ok(Answer::new(format!("the trust bundle holds\n{}", lines(&trust)), answer))
}

/// The pinned block as `--pin` takes it.
fn pin(trust: &Trust) -> String {
    format!("{}:{}", trust.pin().header().height, trust.pin().hash())
}

fn provinces(trust: &Trust) -> Vec<String> {
    trust.validators().validators().iter().map(|v| v.province.to_string()).collect()
}

fn describe(trust: &Trust) -> Value {
    let header = trust.pin().header();
    json!({
        "chain_id": trust.chain_id().to_string(),
        "height": header.height,
        "block": trust.pin().hash().to_string(),
        "pin": pin(trust),
        "time": instant::text(header.time_ms),
        "age_ms": trust.pin().age_ms(clock::now_ms()),
        "set_changes": trust.set_changes(),
        "validators": provinces(trust),
    })
}

fn lines(trust: &Trust) -> String {
    let header = trust.pin().header();
    format!(
        "chain       {}\npin         {}\nmade        {}\nvalidators  {} ({} changes since the founding)",
        trust.chain_id(),
        pin(trust),
        dated(header.height, header.time_ms),
        provinces(trust).join(" "),
        trust.set_changes(),
    )
}
