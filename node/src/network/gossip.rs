//! Gossip: topics, parameters, scores and message ids of gossipsub.
//!
//! Every node publishes its own messages to every peer at once; forwarding, over a small mesh
//! and only after the engine's verdict, bridges links that are missing. What to do with a
//! message is `task`; what it means is the engine's.

use std::{collections::HashMap, time::Duration};

use libp2p::{
    PeerId,
    gossipsub::{
        Behaviour, ConfigBuilder, IdentTopic, IdentityTransform, MaxCountSubscriptionFilter,
        Message, MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds, TopicHash,
        TopicScoreParams, ValidationMode, WhitelistSubscriptionFilter, score_parameter_decay,
    },
    identity::Keypair,
};
use symbolon_ledger::hash::{ChainId, sha256};

use super::{
    NetworkError,
    limits::{
        BATCH_BYTES, BATCH_TRANSACTIONS, CONSENSUS_MESSAGE_BYTES, GOSSIP_CONTROL_BYTES,
        GOSSIP_CONTROL_IDS, GOSSIP_ENVELOPE_BYTES, GOSSIP_FORWARD_WAIT, GOSSIP_HEARTBEAT,
        GOSSIP_HISTORY, GOSSIP_MESH, GOSSIP_MESH_HIGH, GOSSIP_MESH_LOW, GOSSIP_PUBLISH_WAIT,
        GOSSIP_QUEUE, GOSSIP_SEEN,
    },
};

/// Gossipsub with exactly our two topics.
pub(super) type Gossip =
    Behaviour<IdentityTransform, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// Names a gossiped message until its verdict: which message, and who passed it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GossipId {
    pub(super) message: MessageId,
    pub(super) from: PeerId,
    pub(super) is_of_validator: bool,
    pub(super) is_everywhere: bool,
}

impl GossipId {
    /// Whether it came from its author himself, who is a validator and so gave it to all validators
    /// that he is connected with.
    #[must_use]
    pub const fn is_of_validator(&self) -> bool {
        self.is_of_validator
    }

    /// Whether everybody presumably has it: it came from its author himself, who gave it to all
    /// his peers at once; every validator is connected here, and so perhaps there; and nobody is
    /// connected here who may be nowhere else. Passing it on would cost each peer the check of one
    /// more signature.
    #[must_use]
    pub const fn is_everywhere(&self) -> bool {
        self.is_everywhere
    }
}

/// The two topics of a chain.
#[derive(Debug, Clone)]
pub(super) struct Topics {
    pub(super) consensus: IdentTopic,
    pub(super) transactions: IdentTopic,
}

impl Topics {
    pub(super) fn new(chain_id: &ChainId) -> Self {
        let topic = |name| IdentTopic::new(format!("symbolon/{chain_id}/{name}"));
        Self { consensus: topic("consensus"), transactions: topic("transactions") }
    }
}

/// Most bytes of one gossip frame.
const FRAME_BYTES: usize =
    BATCH_BYTES + BATCH_TRANSACTIONS * size_of::<u64>() + 2 * GOSSIP_ENVELOPE_BYTES;
/// Most messages in one frame.
const MESSAGES_PER_FRAME: usize = 64;
/// Bad messages are forgotten in this time.
const INVALID_FORGOTTEN: Duration = Duration::from_secs(120);
/// Breaches of the gossip protocol itself are forgotten in this time.
const MISCONDUCT_FORGOTTEN: Duration = Duration::from_secs(60);
/// How long the score of a peer that left is kept.
const SCORE_KEPT: Duration = Duration::from_secs(600);

/// Makes the behaviour and joins both topics.
pub(super) fn gossip(identity: &Keypair, chain_id: &ChainId) -> Result<Gossip, NetworkError> {
    let wrong = |error: &dyn std::fmt::Display| NetworkError::Protocol(error.to_string());
    let topics = Topics::new(chain_id);
    let (consensus, transactions) = (topics.consensus.hash(), topics.transactions.hash());
    let numbered = consensus.clone();
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .message_id_fn(move |message| id_of(message, message.topic == numbered))
        .flood_publish(true)
        .mesh_n(GOSSIP_MESH)
        .mesh_n_low(GOSSIP_MESH_LOW)
        .mesh_n_high(GOSSIP_MESH_HIGH)
        .mesh_outbound_min(0)
        .heartbeat_interval(GOSSIP_HEARTBEAT)
        .heartbeat_initial_delay(GOSSIP_HEARTBEAT)
        .history_length(GOSSIP_HISTORY)
        .duplicate_cache_time(GOSSIP_SEEN)
        .max_transmit_size(FRAME_BYTES)
        .max_transmit_size_for_topic(FRAME_BYTES, transactions.clone())
        .max_transmit_size_for_topic(CONSENSUS_MESSAGE_BYTES, consensus.clone())
        .max_control_message_size(GOSSIP_CONTROL_BYTES)
        .max_control_messages_sent(GOSSIP_CONTROL_IDS)
        .max_publish_messages(MESSAGES_PER_FRAME)
        .connection_handler_queue_len(GOSSIP_QUEUE)
        .publish_queue_duration(GOSSIP_PUBLISH_WAIT)
        .forward_queue_duration(GOSSIP_FORWARD_WAIT)
        .build()
        .map_err(|error| wrong(&error))?;
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter([consensus.clone(), transactions.clone()].into()),
        max_subscribed_topics: 2,
        // Ours are two; a peer may join, leave and join again within one frame.
        max_subscriptions_per_request: 8,
    };
    let author = MessageAuthenticity::Signed(identity.clone());
    let mut gossip = Behaviour::new_with_subscription_filter(author, config, filter)
        .map_err(|error| wrong(&error))?;
    let (params, thresholds) = scoring([consensus, transactions]);
    gossip.with_peer_score(params, thresholds).map_err(|error| wrong(&error))?;
    for topic in [&topics.consensus, &topics.transactions] {
        gossip.subscribe(topic).map_err(|error| wrong(&error))?;
    }
    Ok(gossip)
}

/// How peers are scored. Only what is provably wrong costs: bad messages, breaches of the
/// protocol, blame by the engine. Silence, slowness and a shared address cost nothing, since a
/// province far away behind one gateway is a voter all the same.
fn scoring(topics: [TopicHash; 2]) -> (PeerScoreParams, PeerScoreThresholds) {
    let topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 100.0,
        first_message_deliveries_weight: 0.1,
        first_message_deliveries_decay: 0.9,
        first_message_deliveries_cap: 100.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        // The square of their number times this: five bad messages end the conversation.
        invalid_message_deliveries_weight: -20.0,
        invalid_message_deliveries_decay: score_parameter_decay(INVALID_FORGOTTEN),
        ..TopicScoreParams::default()
    };
    let params = PeerScoreParams {
        topics: topics.into_iter().map(|hash| (hash, topic.clone())).collect::<HashMap<_, _>>(),
        topic_score_cap: 20.0,
        app_specific_weight: 1.0,
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_weight: -10.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: score_parameter_decay(MISCONDUCT_FORGOTTEN),
        slow_peer_weight: 0.0,
        retain_score: SCORE_KEPT,
        ..PeerScoreParams::default()
    };
    let thresholds = PeerScoreThresholds {
        gossip_threshold: -100.0,
        publish_threshold: -200.0,
        graylist_threshold: -400.0,
        accept_px_threshold: 0.0,
        opportunistic_graft_threshold: 0.0,
    };
    (params, thresholds)
}

/// The hash of what a message says; with `numbered`, of its author and number too.
///
/// A batch of transactions is the same whoever sends it. A round repeats its votes with the same
/// bytes, for peers that were away, and each repetition must travel: there the author's number
/// makes it another message.
fn id_of(message: &Message, numbered: bool) -> MessageId {
    let content = sha256(&message.data);
    if !numbered {
        return MessageId::new(content.as_bytes());
    }
    let author = message.source.map(|peer| peer.to_bytes()).unwrap_or_default();
    let number = message.sequence_number.unwrap_or_default().to_be_bytes();
    MessageId::new(sha256(&[content.as_bytes().as_slice(), &number, &author].concat()).as_bytes())
}
