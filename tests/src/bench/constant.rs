//! A server that always answers the same, on the node's own HTTP library and in a process of its
//! own: what an answer costs that takes no thought.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use axum::{Router, body::Bytes, http::header, routing::get};

/// The first argument that makes the program such a server.
pub const ROLE: &str = "constant";

/// The server; it ends with this value.
#[derive(Debug)]
pub struct Constant {
    child: Child,
    url: String,
    /// The server ends when this does.
    _leash: ChildStdin,
}

impl Constant {
    /// Starts `program constant SIZE`.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start(program: &Path, size: usize) -> Self {
        let mut child = Command::new(program)
            .args([ROLE, &size.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts itself");
        let leash = child.stdin.take().expect("it was asked for");
        let mut url = String::new();
        let out = child.stdout.take().expect("it was asked for");
        BufReader::new(out).read_line(&mut url).expect("it says where it listens");
        Self { child, url: url.trim().to_owned(), _leash: leash }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Constant {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves `size` bytes of JSON to everybody until standard input ends.
///
/// # Errors
///
/// What the system says.
pub fn serve(size: usize) -> std::io::Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}/", listener.local_addr()?)?;
    out.flush()?;
    let body = Bytes::from(vec![b'0'; size]);
    let answer = move || async { ([(header::CONTENT_TYPE, "application/json")], body) };
    let routes = Router::new().route("/", get(answer));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        axum_server::from_tcp(listener)?.serve(routes.into_make_service()).await
    })
}
