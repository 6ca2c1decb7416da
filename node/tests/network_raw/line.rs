//! A line between two nodes whose way back can be held: what goes there arrives, and no answer does.

use libp2p::{Multiaddr, multiaddr::Protocol};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// See the module.
pub(crate) struct Line {
    /// Whoever dials it reaches the other end.
    pub(crate) address: Multiaddr,
    held: watch::Sender<bool>,
}

impl Line {
    /// A line to a node that listens on loopback.
    pub(crate) async fn to(target: &Multiaddr) -> Self {
        let port = target.iter().find_map(|part| match part {
            Protocol::Tcp(port) => Some(port),
            _ => None,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (held, is_held) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(("127.0.0.1", port.unwrap())).await.unwrap();
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                tokio::spawn(pass(near_in, far_out, None));
                tokio::spawn(pass(far_in, near_out, Some(is_held.clone())));
            }
        });
        Self { address: format!("/ip4/127.0.0.1/tcp/{own}").parse().unwrap(), held }
    }

    /// From now on nothing comes back.
    pub(crate) fn hold_answers(&self) {
        self.held.send_replace(true);
    }
}

/// Passes bytes on until an end closes, and none while they are held.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_held: Option<watch::Receiver<bool>>,
) {
    let mut bytes = [0; 4_096];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if let Some(is_held) = &mut is_held
            && is_held.wait_for(|held| !held).await.is_err()
        {
            return;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
