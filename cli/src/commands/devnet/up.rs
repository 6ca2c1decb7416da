//! `symbolon devnet up`: founds a network, or goes on with the one that is there, and runs it.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use clap::Args;
use nix::sys::wait::{WaitPidFlag, waitpid};
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use symbolon_genesis::{
    Genesis,
    presets::{self, DevnetKeys, ListedProvince, MAX_DEVNET},
};
use symbolon_ledger::keys::SecretKey;

use super::{
    layout::{Layout, p2p_address},
    ports::{self, DEFAULT_BASE, HIGHEST_BASE, Ports},
    process, stop_all, to_try,
};
use crate::{
    args::Context,
    clock,
    commands::genesis::read_genesis,
    devnet_file::{DevnetAgency, DevnetFile, DevnetNode, DevnetProvince},
    entropy, files, keyfile,
    output::{Answer, Failure, Outcome},
};

/// Nodes of a network unless told otherwise: the fewest of which one may fail.
const DEFAULT_VALIDATORS: usize = 4;

/// Arguments of `devnet up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Keep the network's data here; without it they are removed at the end
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Return once all nodes are ready; `devnet down` stops them
    #[arg(long, requires = "dir")]
    detach: bool,
    /// Node i listens for HTTP on N+i, admin on N+100+i, peers on N+200+i [default: 8100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(HIGHEST_BASE)))]
    base_port: Option<u16>,
    /// How many provinces, each with a node [default: 4]
    #[arg(long, value_name = "N", value_parser = validators)]
    validators: Option<usize>,
}

fn validators(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=MAX_DEVNET).contains(n));
    number.ok_or_else(|| format!("give a number from 1 to {MAX_DEVNET}"))
}

/// Starts a network; without `--detach`, runs until a signal stops it.
///
/// # Errors
///
/// When one runs there already, a port is taken, or a node fails.
pub(super) fn run(args: &UpArgs, context: &Context) -> Outcome {
    let stop = stop_flag()?;
    let program = process::program()?;
    let temporary = args.dir.is_none();
    let dir = args.dir.clone().map_or_else(temporary_folder, Ok)?;
    let layout = Layout::create(&dir)?;
    let outcome = start(args, &layout, context, &program, &stop).and_then(|answer| {
        if args.detach { Ok(answer) } else { attend(&layout, context, answer, &stop) }
    });
    if temporary {
        // What is left of a failed run is worth nothing either; that it stays is no harm.
        let _ = fs::remove_dir_all(layout.dir());
    }
    outcome
}

/// A new folder of nobody else's, whatever names others have taken before.
fn temporary_folder() -> Result<PathBuf, Failure> {
    let random = u64::from_be_bytes(entropy::bytes()?);
    let dir = std::env::temp_dir().join(format!("symbolon-devnet-{random:016x}"));
    let made = fs::DirBuilder::new().mode(0o700).create(&dir);
    made.map_err(|e| files::unwritable(&dir, &e))?;
    Ok(dir)
}

/// Becomes true when this program is asked to stop.
fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).map_err(|e| {
            let message = format!("signals cannot be caught: {e}");
            Failure::refused("no_signals", message, "start it with --detach elsewhere")
        })?;
    }
    Ok(flag)
}

/// Starts all nodes and waits until they are ready; stops them again when one fails.
fn start(
    args: &UpArgs,
    layout: &Layout,
    context: &Context,
    program: &Path,
    stop: &AtomicBool,
) -> Outcome {
    let _lock = layout.lock(&|| stop.load(Ordering::Relaxed))?;
    refuse_running(layout)?;
    let (resumed, provinces, base) = plan(args, layout)?;
    let all: Vec<u16> = (1..=provinces.len()).flat_map(|i| Ports::of(base, i).all()).collect();
    ports::refuse_taken(&all, "stop that process, or use other ports: --base-port N")?;
    // Whoever waits for the file waits for this network, not for an earlier one.
    files::remove(&DevnetFile::path(layout.dir()))?;
    let genesis = resumed.map_or_else(|| found(layout, &provinces, base), Ok)?;
    let codes: Vec<&str> = provinces.iter().map(|p| p.code.as_str()).collect();
    let moved = Some(base) != founding_base(&genesis, codes[0]);
    let mut network = describe(layout, &genesis, &provinces, base);
    for number in 1..=codes.len() {
        layout.write_config(&genesis, &codes, number, base, moved)?;
        // A validator that has no data yet has never voted. Of any other one nobody here can say
        // so, and it looks on until it knows.
        if !layout.data(number).exists() && !layout.sign_state(number).exists() {
            process::begin_sign_state(program, layout, number)?;
        }
    }
    context.output.note(format!(
        "starting {} nodes; their logs are in {}/node-*/log",
        codes.len(),
        layout.dir().display()
    ));
    let started =
        start_nodes(layout, program, &mut network, stop).and_then(|()| network.write(layout.dir()));
    if let Err(failure) = started {
        stop_all(layout, context)?;
        return Err(failure);
    }
    Ok(announce(layout, &network, args.detach))
}

fn start_nodes(
    layout: &Layout,
    program: &Path,
    network: &mut DevnetFile,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let mut waiting = Vec::new();
    for (number, node) in (1..).zip(&mut network.nodes) {
        node.pid = process::spawn(program, layout, number)?;
        waiting.push((number, node.admin.clone(), node.pid));
    }
    process::wait_until_ready(layout, &waiting, &|| stop.load(Ordering::Relaxed))
}

fn refuse_running(layout: &Layout) -> Result<(), Failure> {
    let running = layout.running();
    if running.is_empty() {
        return Ok(());
    }
    let dir = files::in_command(layout.dir());
    let nodes: Vec<String> =
        running.iter().map(|(n, pid)| format!("node {n} (process {pid})")).collect();
    Err(Failure::refused(
        "already_running",
        format!("a network runs already in {dir}: {}", nodes.join(", ")),
        format!("use it (--devnet {dir}), or stop it: symbolon devnet down --dir {dir}"),
    ))
}

/// The document of the network that is in the folder, if there is one; the provinces in the order
/// of their nodes, and the base of the ports.
fn plan(
    args: &UpArgs,
    layout: &Layout,
) -> Result<(Option<Genesis>, Vec<ListedProvince>, u16), Failure> {
    if !layout.genesis().exists() {
        let count = args.validators.unwrap_or(DEFAULT_VALIDATORS);
        let base = args.base_port.unwrap_or(DEFAULT_BASE);
        return Ok((None, presets::devnet_provinces(count), base));
    }
    let genesis = read_genesis(&layout.genesis())?;
    let count = genesis.validators.len();
    if args.validators.is_some_and(|wanted| wanted != count) {
        let dir = files::in_command(layout.dir());
        return Err(Failure::usage(
            "other_size",
            format!("the network in {dir} has {count} validators"),
            format!("leave --validators out, or begin anew: symbolon devnet reset --dir {dir}"),
        ));
    }
    let provinces = presets::devnet_provinces(count);
    let expected = |p: &ListedProvince| genesis.validators.iter().any(|v| v.province == p.code);
    if count == 0 || !provinces.iter().all(expected) {
        let message = format!("{} is not of a development network", layout.genesis().display());
        return Err(Failure::usage("foreign_genesis", message, "choose another --dir"));
    }
    let founded = founding_base(&genesis, provinces[0].code.as_str());
    let base = args.base_port.or(founded).unwrap_or(DEFAULT_BASE);
    Ok((Some(genesis), provinces, base))
}

/// The base of the ports that the founding document's addresses say.
fn founding_base(genesis: &Genesis, first: &str) -> Option<u16> {
    let validator = genesis.validators.iter().find(|v| v.province.as_str() == first)?;
    let port = validator.addresses.first()?.rsplit('/').next()?.parse().ok()?;
    Ports::base_of_p2p(port)
}

/// Makes all keys and the founding document. The document is written last: without it, the next
/// run begins anew, with the keys that are already there.
fn found(layout: &Layout, provinces: &[ListedProvince], base: u16) -> Result<Genesis, Failure> {
    files::make_folder(&layout.keys())?;
    let mut members = Vec::new();
    for (number, province) in (1..).zip(provinces) {
        files::make_folder(&layout.node(number))?;
        let code = province.code.as_str();
        let agency = layout.agency_key(code);
        let keys = DevnetKeys {
            province: province.code,
            authority: read_or_make(&layout.authority_key(code))?,
            validator: read_or_make(&layout.validator_key(number))?,
            network: read_or_make(&layout.network_key(number))?,
            status: read_or_make(&layout.status_key(number))?,
            credential: read_or_make(&keyfile::credential_key_path(&agency))?,
            transaction: read_or_make(&agency)?,
        };
        let address = p2p_address(Ports::of(base, number).p2p);
        members.push(keys.member(province, vec![address]));
    }
    let genesis = presets::devnet(clock::now_ms(), &members);
    files::write(&layout.genesis(), genesis.to_toml().as_bytes())?;
    Ok(genesis)
}

fn read_or_make(path: &Path) -> Result<SecretKey, Failure> {
    if !path.exists() {
        keyfile::write_new(path, &keyfile::generate()?)?;
    }
    keyfile::read(path)
}

/// What `devnet.json` says, with the processes still to come.
fn describe(
    layout: &Layout,
    genesis: &Genesis,
    provinces: &[ListedProvince],
    base: u16,
) -> DevnetFile {
    let node = |(i, province): (usize, &ListedProvince)| {
        let ports = Ports::of(base, i + 1);
        let validator = genesis.validators.iter().find(|v| v.province == province.code);
        let peer_id = validator.map(|v| format!("/p2p/{}", v.peer_id)).unwrap_or_default();
        DevnetNode {
            province: province.code.to_string(),
            http: format!("http://127.0.0.1:{}", ports.http),
            admin: format!("http://127.0.0.1:{}", ports.admin),
            p2p: format!("{}{peer_id}", p2p_address(ports.p2p)),
            data_dir: layout.data(i + 1),
            pid: 0,
        }
    };
    let agency = |a: &symbolon_genesis::document::Agency| DevnetAgency {
        uscc: a.uscc.to_string(),
        name: a.name.to_string(),
        province: a.province.to_string(),
        key_file: layout.agency_key(a.province.as_str()),
    };
    let province = |p: &ListedProvince| DevnetProvince {
        code: p.code.to_string(),
        name: p.name_en.to_string(),
        key_file: layout.authority_key(p.code.as_str()),
    };
    DevnetFile {
        chain_id: genesis.chain_id().to_string(),
        nodes: provinces.iter().enumerate().map(node).collect(),
        agencies: genesis.agencies.iter().map(agency).collect(),
        provinces: provinces.iter().map(province).collect(),
    }
}

fn announce(layout: &Layout, network: &DevnetFile, detached: bool) -> Answer {
    let mut text = format!("chain id  {}\n", network.chain_id);
    for (number, (node, province)) in (1..).zip(network.nodes.iter().zip(&network.provinces)) {
        text.push_str(&format!(
            "\nnode {number}    {} {}\n  http    {}\n  admin   {}\n  peers   {}\n  docs    {}/docs",
            province.code, province.name, node.http, node.admin, node.p2p, node.http
        ));
        for agency in network.agencies.iter().filter(|a| a.province == province.code) {
            text.push_str(&format!("\n  agency  {} {}", agency.uscc, agency.name));
        }
    }
    let dir = layout.dir();
    let stop = match detached {
        true => format!("stop it: symbolon devnet down --dir {}", files::in_command(dir)),
        false => "stop it: Ctrl-C".to_owned(),
    };
    text.push_str(&format!("\n\n{}\n{stop}", to_try(dir)));
    let mut json = serde_json::to_value(network).unwrap_or_else(|_| json!({}));
    if let Value::Object(fields) = &mut json {
        fields.insert("dir".to_owned(), json!(dir));
    }
    Answer::new(text, json)
}

/// Shows the network and runs until a signal comes, then stops it.
fn attend(layout: &Layout, context: &Context, answer: Answer, stop: &AtomicBool) -> Outcome {
    context.output.show(&answer);
    let mut alive: Vec<usize> = layout.running().into_iter().map(|(number, _)| number).collect();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(process::GLANCE);
        collect_ended();
        let now: Vec<usize> = layout.running().into_iter().map(|(number, _)| number).collect();
        for number in alive.iter().filter(|number| !now.contains(number)) {
            let log = layout.log(*number);
            context.output.note(format!("node {number} has ended; its log: {}", log.display()));
        }
        alive = now;
        if alive.is_empty() {
            // `devnet down` removes the lists of the processes that it stopped, under this lock.
            let _lock = layout.lock(&|| stop.load(Ordering::Relaxed))?;
            if layout.were_stopped() {
                context.output.note("all nodes were stopped");
                return Ok(answer);
            }
            return Err(Failure::refused(
                "nodes_ended",
                "every node has ended by itself",
                format!("their logs say why: {}/node-*/log", layout.dir().display()),
            ));
        }
    }
    context.output.note("stopping the nodes");
    let _lock = layout.lock(&|| false)?;
    stop_all(layout, context)?;
    context.output.note("all nodes have stopped");
    Ok(answer)
}

/// Collects children that have ended, so that they do not stay in the process table.
fn collect_ended() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status.pid().is_none() {
            return;
        }
    }
}
