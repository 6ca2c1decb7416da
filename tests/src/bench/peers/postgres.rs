//! PostgreSQL, as Debian configures it: each insert is on disk before it is acknowledged
//! (`synchronous_commit`, `fsync`), over a Unix socket, driven by its own pgbench.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{Process, is_root, repeated, said};
use crate::bench::report::Measured;

/// Clients that insert, and threads of pgbench.
const INSERTING: &str = "32";
/// Clients that look up.
const LOOKING_UP: &str = "16";
const THREADS: &str = "2";
/// Rows that are looked up.
const ROWS: u32 = 1_000_000;
/// A row as large as a licence's record.
const INSERT: &str =
    "INSERT INTO issued VALUES (gen_random_uuid(), decode(repeat('ab', 150), 'hex'));\n";
const LOOK_UP: &str = "SELECT doc FROM kept WHERE id = :id;\n";

/// A cluster of its own; gone when it is dropped.
struct Cluster {
    bin: PathBuf,
    /// The user that it runs as, where this program is root: PostgreSQL refuses root.
    user: Option<(u32, u32)>,
    /// Before the folder, so that it ends first.
    _server: Process,
    folder: TempDir,
}

/// Inserts and look-ups a second.
pub(super) fn measure(runs: usize, span: Duration) -> (Measured, Measured) {
    let cluster = match Cluster::start() {
        Ok(cluster) => cluster,
        Err(why) => return (Err(why.clone()), Err(why)),
    };
    let inserts = cluster
        .ask("CREATE TABLE issued (id uuid PRIMARY KEY, doc bytea)")
        .and_then(|()| repeated(runs, || cluster.bench(INSERT, INSERTING, span)));
    let fill = format!(
        "CREATE TABLE kept (id int PRIMARY KEY, doc bytea); \
         INSERT INTO kept SELECT n, decode(repeat('ab', 150), 'hex') FROM generate_series(1, {ROWS}) n; \
         ANALYZE kept; CHECKPOINT"
    );
    let look_up = format!("\\set id random(1, {ROWS})\n{LOOK_UP}");
    let lookups = cluster
        .ask(&fill)
        .and_then(|()| repeated(runs, || cluster.bench(&look_up, LOOKING_UP, span)));
    (inserts, lookups)
}

impl Cluster {
    fn start() -> Result<Self, String> {
        let bin = newest_bin().ok_or("PostgreSQL is not installed (Debian: postgresql)")?;
        let user = is_root().then(postgres_user).transpose()?;
        let folder = TempDir::new().map_err(|e| e.to_string())?;
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).map_err(|e| e.to_string())?;
        }
        let data = folder.path().join("data");
        let mut init = command(&bin.join("initdb"), user, folder.path());
        said(init.args(["-A", "trust", "-U", "bench", "-D"]).arg(&data))?;
        let mut server = command(&bin.join("postgres"), user, folder.path());
        server.arg("-D").arg(&data).arg("-k").arg(folder.path());
        server.args(["-c", "listen_addresses="]);
        // PostgreSQL's word for ending without waiting for its clients.
        let mut server = Process::start(&mut server, Signal::SIGINT)?;
        let asked = |query: &str| ask(&bin, user, folder.path(), query);
        server.await_ready(|| asked("SELECT 1").is_ok())?;
        Ok(Self { bin, user, _server: server, folder })
    }

    fn ask(&self, query: &str) -> Result<(), String> {
        ask(&self.bin, self.user, self.folder.path(), query)
    }

    /// Transactions a second of a script of pgbench.
    fn bench(&self, script: &str, clients: &str, span: Duration) -> Result<f64, String> {
        let file = self.folder.path().join("script");
        fs::write(&file, script).map_err(|e| e.to_string())?;
        let mut bench = command(&self.bin.join("pgbench"), self.user, self.folder.path());
        bench.args(["-n", "-M", "prepared", "-U", "bench", "-c", clients, "-j", THREADS, "-T"]);
        bench.arg(span.as_secs().max(1).to_string()).arg("-h").arg(self.folder.path());
        let said = said(bench.arg("-f").arg(&file).arg("postgres"))?;
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = "));
        let rate = rate.and_then(|rest| rest.split(' ').next()?.parse().ok());
        rate.ok_or_else(|| "pgbench names no tps".to_owned())
    }
}

/// The folder of the newest version's programs.
fn newest_bin() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|v| v.path()).max_by_key(number)?.join("bin");
    ["initdb", "postgres", "pgbench", "psql"]
        .iter()
        .all(|p| newest.join(p).exists())
        .then_some(newest)
}

/// Numbers of the user and group `postgres`.
fn postgres_user() -> Result<(u32, u32), String> {
    let id = |flag: &str| {
        let text = said(Command::new("id").args([flag, "postgres"]))?;
        text.trim().parse::<u32>().map_err(|_| "no user postgres".to_owned())
    };
    Ok((id("-u")?, id("-g")?))
}

fn command(program: &Path, user: Option<(u32, u32)>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("LC_ALL", "C");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

fn ask(bin: &Path, user: Option<(u32, u32)>, folder: &Path, query: &str) -> Result<(), String> {
    let mut psql = command(&bin.join("psql"), user, folder);
    psql.args(["-q", "-U", "bench", "-h"]).arg(folder);
    said(psql.args(["-c", query, "postgres"])).map(|_| ())
}
