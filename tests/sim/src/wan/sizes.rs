//! How many bytes a message takes on the line, with everything that is wrapped around it.
//!
//! The messages themselves are encoded by the code that ships; what libp2p adds is counted here, from
//! its protobuf schema and its framing. Each constant names its source. Upper bounds where two
//! messages could share a packet.

/// A peer id of an Ed25519 key: an identity multihash of the key's protobuf.
const PEER_ID: u64 = 38;
/// A message id on the line: a SHA-256.
const MESSAGE_ID: u64 = 32;
/// `symbolon/{chain id}/consensus`, with 64 digits of chain id.
const CONSENSUS_TOPIC: u64 = 83;
/// `symbolon/{chain id}/transactions`.
const TRANSACTIONS_TOPIC: u64 = 86;
/// Length in front of each transaction of a batch, and of the batch.
const COUNT: u64 = 8;
/// A request without a body: kind, hash, height, flag; an answer that notes it has 4.
const REQUEST: u64 = 45;
/// An answer without a body.
const ANSWER: u64 = 44;
/// What opening a stream for one exchange costs each side: the header of multistream-select 1.0 (20
/// bytes) and the name of the protocol (87 with its length and end).
const OPENING: u64 = 107;
/// yamux in front of a frame (12), noise around it (2 of length, 16 of tag).
const FRAME: u64 = 30;
/// Most bytes of such a frame.
const FRAME_BYTES: u64 = 16 * 1024;
/// Ethernet (14), IPv4 (20) and TCP with timestamps (32) in front of a packet.
const PACKET: u64 = 66;
/// What a packet of 1,500 bytes carries then.
const PACKET_BYTES: u64 = 1_448;
/// A signature and the province beside it in a certificate.
const SIGNATURE: u64 = 72;
/// What else a certificate holds.
const CERTIFICATE: u64 = 48;

/// The topic that a message is gossiped on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Votes, proposals, certificates.
    Consensus,
    /// Batches of transactions.
    Transactions,
}

impl Topic {
    const fn name_bytes(self) -> u64 {
        match self {
            Self::Consensus => CONSENSUS_TOPIC,
            Self::Transactions => TRANSACTIONS_TOPIC,
        }
    }
}

/// Bytes of a number of protobuf.
const fn varint(number: u64) -> u64 {
    let bits = 64 - number.leading_zeros() as u64;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// Bytes of a field of so many bytes, with its tag and its length.
const fn field(bytes: u64) -> u64 {
    1 + varint(bytes) + bytes
}

/// Bytes on the line of so many bytes that are written to a stream.
#[must_use]
pub const fn on_the_line(bytes: u64) -> u64 {
    let framed = bytes + bytes.div_ceil(FRAME_BYTES) * FRAME;
    framed + framed.div_ceil(PACKET_BYTES) * PACKET
}

/// A message of gossip: author, number, topic, signature and data.
#[must_use]
pub const fn message(topic: Topic, data: u64) -> u64 {
    field(PEER_ID) + field(data) + field(8) + field(topic.name_bytes()) + field(64)
}

/// The same on the line.
#[must_use]
pub const fn gossiped(topic: Topic, data: u64) -> u64 {
    let rpc = field(message(topic, data));
    on_the_line(varint(rpc) + rpc)
}

/// "I have these messages" (IHAVE), on the line.
#[must_use]
pub const fn have(topic: Topic, ids: u64) -> u64 {
    let control = field(field(topic.name_bytes()) + ids * field(MESSAGE_ID));
    on_the_line(varint(control) + field(control))
}

/// "Do not send me this message" (IDONTWANT), on the line.
#[must_use]
pub const fn unwanted() -> u64 {
    on_the_line(1 + field(field(field(MESSAGE_ID))))
}

/// A batch of transactions of these bytes in all.
#[must_use]
pub const fn batch(transactions: u64, bytes: u64) -> u64 {
    COUNT + transactions * COUNT + bytes
}

/// A request with so many bytes of body, on the line; its stream is opened with it.
#[must_use]
pub const fn request(body: u64) -> u64 {
    on_the_line(OPENING + REQUEST + body)
}

/// An answer with so many bytes of body, on the line.
#[must_use]
pub const fn answer(body: u64) -> u64 {
    on_the_line(OPENING + ANSWER + body)
}

/// The opening of a stream alone, one way, on the line.
#[must_use]
pub const fn opening() -> u64 {
    on_the_line(OPENING)
}

/// A block's certificate.
#[must_use]
pub const fn certificate(signatures: u64) -> u64 {
    CERTIFICATE + signatures * SIGNATURE
}
