//! The exchange protocol: how one request and one answer go over a stream.
//!
//! The kind in the first four bytes sets the cap of the rest, and the rest is read to the end of
//! the stream, growing as it arrives. A frame that breaks its form is handed up as such, so that
//! its sender can be blamed; only a broken stream is an error. Who answers what is `serve`.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{
    StreamProtocol,
    request_response::{Behaviour, Codec, Config, ProtocolSupport},
};
use symbolon_ledger::hash::ChainId;

use super::{
    NetworkError,
    limits::{EXCHANGE_TIMEOUT, EXCHANGES_PER_CONNECTION},
    wire::{KIND_BYTES, Request, Response, WireError, request_cap, response_cap},
};

/// Request-response with our codec.
pub(super) type Exchange = Behaviour<Frames>;

/// What came over the stream.
#[derive(Debug)]
pub(super) enum Frame<T> {
    /// A frame that has its form.
    Good(T),
    /// One that has not.
    Malformed(WireError),
}

/// Makes the behaviour.
pub(super) fn exchange(chain_id: &ChainId) -> Result<Exchange, NetworkError> {
    let protocol = StreamProtocol::try_from_owned(format!("/symbolon/{chain_id}/exchange/1"))
        .map_err(|error| NetworkError::Protocol(error.to_string()))?;
    let config = Config::default()
        .with_request_timeout(EXCHANGE_TIMEOUT)
        .with_max_concurrent_streams(EXCHANGES_PER_CONNECTION);
    Ok(Behaviour::with_codec(Frames, [(protocol, ProtocolSupport::Full)], config))
}

/// The codec.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frames;

async fn read<T, F>(
    io: &mut T,
    cap: fn(u32) -> Result<usize, WireError>,
    decode: fn(&[u8]) -> Result<F, WireError>,
) -> io::Result<Frame<F>>
where
    T: AsyncRead + Unpin + Send,
{
    let mut kind = [0; KIND_BYTES];
    io.read_exact(&mut kind).await?;
    let cap = match cap(u32::from_be_bytes(kind)) {
        Ok(cap) => cap,
        Err(error) => return Ok(Frame::Malformed(error)),
    };
    let mut bytes = kind.to_vec();
    // One byte more than allowed, so that a longer frame is seen to be longer.
    let rest = cap.saturating_sub(KIND_BYTES).saturating_add(1);
    io.take(rest as u64).read_to_end(&mut bytes).await?;
    Ok(match decode(&bytes) {
        Ok(frame) => Frame::Good(frame),
        Err(error) => Frame::Malformed(error),
    })
}

async fn write<T>(io: &mut T, bytes: Vec<u8>) -> io::Result<()>
where
    T: AsyncWrite + Unpin + Send,
{
    io.write_all(&bytes).await
}

impl Codec for Frames {
    type Protocol = StreamProtocol;
    type Request = Frame<Request>;
    type Response = Frame<Response>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Self::Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, request_cap, Request::decode).await
    }

    async fn read_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Self::Response>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, response_cap, Response::decode).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Self::Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match request {
            Frame::Good(request) => write(io, request.encode()).await,
            Frame::Malformed(error) => Err(io::Error::other(error)),
        }
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Self::Response,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match response {
            Frame::Good(response) => write(io, response.encode()).await,
            Frame::Malformed(error) => Err(io::Error::other(error)),
        }
    }
}
