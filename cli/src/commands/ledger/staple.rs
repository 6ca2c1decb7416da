//! `symbolon proof get` and `proof inclusion`: what is carried beside a licence or a receipt so
//! that nobody need be asked when it is shown.
//!
//! A staple is the state proof of everything that a verdict about one licence rests on. The node
//! is believed no more than the proof: `symbolon verify --offline` checks it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use symbolon_credential::{encoding::to_base64url, sd_jwt::Parsed};
use symbolon_ledger::{
    codec,
    codes::ProvinceCode,
    hash::Cid,
    inclusion::MAX_INCLUSION_BYTES,
    state::StateKey,
    state_proof::{MAX_STATE_PROOF_BYTES, StateProof},
};

use super::{
    licence::{parse_cid, read_credential},
    shared::parse_province,
    trusted::Source,
};
use crate::{
    args::Context,
    client::{Node, NodeError, escape, from_base64url, text},
    files,
    output::{Answer, Failure, Outcome, Status},
    targets::{self, Kind},
};

/// Proofs to carry: of a licence's state, and of a block's place in the chain
#[derive(Debug, Subcommand)]
pub(crate) enum ProofCommand {
    /// Ask a node for the proof of everything that a verdict about a licence rests on
    Get(GetArgs),
    /// Ask a node for the proof that a block is in the history of a later one
    Inclusion(InclusionArgs),
}

/// Which licence, and who will ask for it.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The licence: its cid, or its .sdjwt file
    #[arg(value_name = "CID|FILE")]
    licence: String,
    /// The provinces whose recognition is proven, too [default: the answering node's]
    #[arg(long, value_name = "CODE,CODE…", value_delimiter = ',', value_parser = parse_province)]
    province: Vec<ProvinceCode>,
    /// Where the proof is written
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Which block, and under which one.
#[derive(Debug, Args)]
pub(crate) struct InclusionArgs {
    /// Height of the block: of a receipt or a state proof
    height: u64,
    /// Height of the later block
    #[arg(long, value_name = "HEIGHT", required_unless_present = "trust")]
    head: Option<u64>,
    /// Take the later block from this trust bundle: the one that it pins
    #[arg(long, value_name = "FILE", conflicts_with = "head")]
    trust: Option<PathBuf>,
    /// Where the inclusion is written
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A proof of the state about one licence, as a node gave it: nothing in it has been checked.
#[derive(Debug, Clone)]
pub(crate) struct Staple {
    /// The state proof's exact bytes.
    pub(crate) proof: Vec<u8>,
    /// Height of the state, as the node says.
    pub(crate) height: u64,
    /// Whether the node says that the ledger has the licence; otherwise this proves the absence.
    pub(crate) is_there: bool,
}

/// The licence that a staple is for. A credential says more than its cid: with that, an absence
/// is proven together with the issuer's key, and a verifier can tell "unknown" from "forged".
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    cid: Cid,
    issuer: Option<String>,
}

impl Subject {
    /// Only a cid.
    pub(crate) fn of_cid(cid: Cid) -> Self {
        Self { cid, issuer: None }
    }

    /// A credential or presentation; none when its issuer is no agency of this ledger.
    pub(crate) fn of_credential(credential: &Parsed) -> Option<Self> {
        let (cid, issuer) = (credential.claimed_cid()?, credential.claimed_issuer()?);
        let mut query = format!("&issuer={}&key_id={}", issuer.agency, credential.key_id());
        if let Some((code, _)) = credential.claimed_type() {
            query.push_str(&format!("&licence_type={}", escape(code.as_str())));
        }
        Some(Self { cid, issuer: Some(query) })
    }
}

/// Asks a node for a staple that also proves the recognition by `asking`; by the node's own
/// province when none is named.
///
/// # Errors
///
/// When the node does not answer as it should.
pub(crate) fn fetch(
    node: &Node,
    subject: &Subject,
    asking: &[ProvinceCode],
) -> Result<Staple, Failure> {
    let mut path = format!("/v1/licences/{}/proof?status=true", subject.cid);
    if !asking.is_empty() {
        let codes: Vec<&str> = asking.iter().map(ProvinceCode::as_str).collect();
        path.push_str(&format!("&recognising_province={}", codes.join(",")));
    }
    path.push_str(subject.issuer.as_deref().unwrap_or_default());
    let (answer, is_there) = match node.get(&path) {
        Ok(answer) => (answer, true),
        Err(NodeError::Problem(problem)) if problem.code == "unknown_licence" => {
            (problem.body, false)
        }
        Err(error) => return Err(error.into()),
    };
    let proof = from_base64url(text(&answer, "proof"));
    match (proof, answer["height"].as_u64()) {
        (Some(proof), Some(height)) if proof.len() <= MAX_STATE_PROOF_BYTES => {
            Ok(Staple { proof, height, is_there })
        }
        _ => Err(Failure::unreachable(
            "strange_answer",
            format!("{} gave no proof where one should be", node.url()),
            "check that --node names a symbolon node of this version",
        )),
    }
}

/// Writes a staple of `subject` as its exact bytes, to be carried beside the licence; says so when the
/// file held that of another licence.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write(
    path: &Path,
    staple: &Staple,
    subject: &Subject,
    context: &Context,
) -> Result<(), Failure> {
    let of_another = is_of_another(path, &subject.cid);
    targets::write(path, &staple.proof, Kind::StateProof)?;
    if of_another {
        let file = path.display();
        context.output.note(format!("note: {file} held the proof of another licence; replaced"));
    }
    Ok(())
}

/// Whether a file holds a state proof that says nothing of the licence.
fn is_of_another(path: &Path, cid: &Cid) -> bool {
    // Only a file is looked at: reading from a pipe would take from it, or wait.
    let bytes = path.is_file().then(|| files::read(path, MAX_STATE_PROOF_BYTES as u64, "it"));
    let Some(Ok(bytes)) = bytes else { return false };
    let key = StateKey::Licence(*cid).encode();
    let proof = codec::decode::<StateProof>(&bytes, MAX_STATE_PROOF_BYTES);
    proof.is_ok_and(|proof| !proof.entries.iter().any(|entry| entry.key[..] == key[..]))
}

/// Runs the command.
pub(super) fn run(command: &ProofCommand, context: &Context) -> Outcome {
    match command {
        ProofCommand::Get(args) => get(args, context),
        ProofCommand::Inclusion(args) => inclusion(args, context),
    }
}

fn get(args: &GetArgs, context: &Context) -> Outcome {
    let path = Path::new(&args.licence);
    let by_file = args.licence.parse::<Cid>().is_err() && path.exists();
    let from_file = by_file.then(|| read_credential(path)).transpose()?;
    let subject = match from_file.as_ref().and_then(Subject::of_credential) {
        Some(subject) => subject,
        None => Subject::of_cid(parse_cid(&args.licence)?),
    };
    let staple = fetch(&Node::of(context)?, &subject, &args.province)?;
    let proof = to_base64url(&staple.proof);
    let said = match &args.out {
        None => proof.clone(),
        Some(path) => {
            write(path, &staple, &subject, context)?;
            let what =
                if staple.is_there { "the licence" } else { "that there is no such licence" };
            let (bytes, height) = (staple.proof.len(), staple.height);
            format!(
                "{bytes} bytes written to {}: the proof of {what} at height {height}",
                path.display()
            )
        }
    };
    let answer = json!({
        "cid": subject.cid.to_string(), "height": staple.height, "is_there": staple.is_there,
        "proof": proof, "file": args.out,
    });
    let status = if staple.is_there { Status::Done } else { Status::Unknown };
    Ok(Answer::new(said, answer).with_status(status))
}

fn inclusion(args: &InclusionArgs, context: &Context) -> Outcome {
    let head = match (&args.trust, args.head) {
        (Some(path), _) => Source::default().check_file(path, None)?.pin().header().height,
        (None, head) => head.unwrap_or_default(),
    };
    let height = args.height;
    let path = format!("/v1/blocks/{height}/inclusion?head={head}");
    let bytes = Node::of(context)?.cbor(&path, MAX_INCLUSION_BYTES)?;
    let inclusion = to_base64url(&bytes);
    let said = match &args.out {
        None => inclusion.clone(),
        Some(path) => {
            targets::write(path, &bytes, Kind::Inclusion)?;
            format!(
                "{} bytes written to {}: block {height} under block {head}",
                bytes.len(),
                path.display()
            )
        }
    };
    let answer = json!({"height": height, "head": head, "inclusion": inclusion, "file": args.out});
    Ok(Answer::new(said, answer))
}
