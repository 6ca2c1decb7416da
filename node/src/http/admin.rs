//! The operator's listener, on loopback only: is it alive, is it of use, what does it count.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;

use super::{Server, error::Problem, limits, not_found, registries::find_parameters, wrong_method};
use crate::{
    backup::{BackupError, create::lock},
    engine::{EngineStatus, describe},
    storage::{CheckpointError, View, checkpoint_folder, remove_checkpoint},
};

/// Media type of the OpenMetrics text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Ready means a commit within this many idle intervals.
const READY_INTERVALS: u64 = 4;
/// What a round or two of a busy or shaken network may take on top, in milliseconds.
const READY_SLACK_MS: u64 = 10_000;

/// The first thing to mend where nobody is heard.
const NO_PEER: &str = "no peer is connected: the others admit validators, and the observers that their network.observers names";
/// How long a checkpoint waits for the backup that is to copy it. `backup create` has begun to copy when
/// it gets the answer; what nobody copies by then was left behind, and pins files on the disk.
const CHECKPOINT_LIFE: Duration = Duration::from_secs(5 * 60);

/// Where a backup asks the node to hold its database fast.
pub const CHECKPOINT_PATH: &str = "/checkpoint";

/// The admin listener's routes.
pub(super) fn routes(server: Arc<Server>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .route(CHECKPOINT_PATH, post(checkpoint))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(server.clone(), limits::guard_operator))
        .with_state(server)
}

#[derive(Debug, Serialize)]
struct Alive {
    status: &'static str,
}

/// The process answers.
async fn livez() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

#[derive(Debug, Serialize)]
struct Ready {
    status: &'static str,
    reasons: Vec<String>,
    height: u64,
    last_commit_age_ms: Option<u64>,
}

/// The node follows the chain: recent progress, not merely a running process.
async fn readyz(State(server): State<Arc<Server>>) -> Result<Response, Problem> {
    let engine = server.context.status.borrow().clone();
    let now_ms = (server.context.clock)();
    let look = move |view: &View<'_>| {
        let interval_ms = find_parameters(view)?.idle_block_interval_ms;
        let tip = view.tip();
        Ok(readiness(&engine, (tip.height, tip.header.time_ms), interval_ms, now_ms))
    };
    let ready = server.read_for_operator(look).await?;
    let status =
        if ready.reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(ready)).into_response())
}

fn readiness(
    engine: &EngineStatus,
    (height, tip_time_ms): (u64, u64),
    interval_ms: u64,
    now_ms: u64,
) -> Ready {
    // After a restart the newest block may be young although nothing was committed since.
    let tip_time_ms = if height > 0 { tip_time_ms } else { 0 };
    let last = engine.last_commit_ms.max(tip_time_ms);
    let age = (last > 0).then(|| now_ms.saturating_sub(last));
    let limit = interval_ms.saturating_mul(READY_INTERVALS).saturating_add(READY_SLACK_MS);
    let mut reasons = Vec::new();
    if let Some(fault) = &engine.fault {
        reasons.push(format!("the engine stopped: {fault}"));
    }
    if engine.syncing {
        reasons.push(format!("catching up with the chain, at height {height}"));
    }
    let progresses = age.is_some_and(|age| age <= limit);
    if !progresses && engine.peers_connected == 0 {
        reasons.push(NO_PEER.to_owned());
    }
    match age {
        None => reasons.push("no block has been committed yet".to_owned()),
        Some(age) if age > limit => {
            reasons.push(format!("no block for {age} ms, the limit is {limit} ms"));
            if let Some(stall) = &engine.stall {
                let missing: Vec<_> = stall.missing.iter().map(describe).collect();
                let (answering, quorum) = (stall.answering, stall.quorum);
                reasons.push(format!(
                    "no quorum: {answering} of {quorum} validators answer; missing {}",
                    missing.join(", ")
                ));
            } else if !engine.validators_missing.is_empty() {
                let missing: Vec<_> =
                    engine.validators_missing.iter().map(ToString::to_string).collect();
                reasons.push(format!("nothing heard from provinces {}", missing.join(", ")));
            }
        }
        Some(_) => {}
    }
    let status = if reasons.is_empty() { "ready" } else { "not_ready" };
    Ready { status, reasons, height, last_commit_age_ms: age }
}

async fn metrics(State(server): State<Arc<Server>>) -> Result<Response, Problem> {
    let (context, engine) = (&server.context, server.context.status.borrow().clone());
    let metrics = &context.metrics;
    let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    metrics.height.set(i64::try_from(*context.store.commits().borrow()).unwrap_or(i64::MAX));
    metrics.round.set(i64::from(engine.round));
    #[allow(clippy::cast_precision_loss)] // milliseconds since 1970 fit 53 bits for 285,000 years
    metrics.last_commit_seconds.set(engine.last_commit_ms as f64 / 1_000.0);
    metrics.syncing.set(i64::from(engine.syncing));
    metrics.peers.set(signed(engine.peers_connected));
    metrics.validators_missing.set(signed(engine.validators_missing.len()));
    metrics.heard(&engine);
    metrics.pool_transactions.set(signed(context.pool.len()));
    let (showings, limit) = server.recall.showings((context.clock)());
    metrics.showings.set(signed(showings));
    metrics.showings_limit.set(signed(limit));
    let text = metrics.text().map_err(|_| Problem::internal())?;
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response())
}

#[derive(Debug, Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
    role: &'static str,
    province: Option<String>,
    chain_id: String,
}

async fn version(State(server): State<Arc<Server>>) -> Json<Version> {
    Json(Version {
        name: "symbolon-node",
        version: env!("CARGO_PKG_VERSION"),
        role: server.context.role,
        province: server.context.province.map(|p| p.to_string()),
        chain_id: server.context.store.chain_id().to_string(),
    })
}

#[derive(Debug, Serialize)]
struct Checkpointed {
    status: &'static str,
    /// The database holds this block, and perhaps later ones.
    height: u64,
}

/// Holds the database fast in the data folder, for whoever may read that. Nothing is said of where,
/// and nothing can be asked to be written elsewhere.
async fn checkpoint(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if headers.contains_key(header::ORIGIN) {
        let hint = "use symbolon-node backup create";
        let detail = "this is not for web pages";
        return Err(Problem::new(StatusCode::FORBIDDEN, "not_for_pages", detail, hint));
    }
    server.operator.check(&headers)?;
    let store = server.context.store.clone();
    let hold = move || store.checkpoint().map_err(|error| refusal(&error));
    let height = server.operator_reads.run(hold).await?;
    tracing::info!(height, "the database is held fast for a backup");
    tokio::spawn(forget_in_time(server.clone()));
    Ok((StatusCode::CREATED, Json(Checkpointed { status: "held", height })).into_response())
}

/// Removes the checkpoint when its time is over, unless a backup is being made: then, once that has
/// ended.
async fn forget_in_time(server: Arc<Server>) {
    let mut forgotten = false;
    while !forgotten {
        tokio::time::sleep(CHECKPOINT_LIFE).await;
        let store = server.context.store.clone();
        let forget = move || forget_left(store.folder());
        forgotten = tokio::task::spawn_blocking(forget).await.unwrap_or(true);
    }
}

/// Removes a checkpoint that no backup needs; whether there was nothing to wait for.
fn forget_left(data: &Path) -> bool {
    // A backup holds this lock from before it asks until it has copied.
    let _alone = match lock(data) {
        Err(BackupError::Busy(_)) => return false,
        other => other,
    };
    if checkpoint_folder(data).exists() {
        match remove_checkpoint(data) {
            Ok(()) => tracing::warn!("nobody copied the checkpoint: it is removed"),
            Err(error) => tracing::warn!(%error, "the checkpoint cannot be removed"),
        }
    }
    true
}

/// A disk without room for it says nothing about the chain: only a read that fails stops the node.
fn refusal(error: &CheckpointError) -> Problem {
    tracing::warn!(%error, "no checkpoint");
    let (status, code) = match error {
        CheckpointError::Exists(_) => (StatusCode::CONFLICT, "checkpoint_exists"),
        CheckpointError::Folder { .. } | CheckpointError::Storage(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "no_checkpoint")
        }
    };
    let hint = "make room in data_dir, and make the backup with symbolon-node backup create";
    Problem::new(status, code, error.to_string(), hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Heard, LastHeard, Stall};

    const INTERVAL: u64 = 10_000;

    #[test]
    fn a_checkpoint_that_nobody_copies_is_removed_and_one_that_is_copied_stays() {
        let data = tempfile::tempdir().unwrap();
        let checkpoint = checkpoint_folder(data.path());
        std::fs::create_dir(&checkpoint).unwrap();
        let backup = lock(data.path()).unwrap();
        assert!(!forget_left(data.path()) && checkpoint.exists());
        drop(backup);
        assert!(forget_left(data.path()) && !checkpoint.exists());
        assert!(forget_left(data.path()), "nothing is left to remove");
    }

    fn engine() -> EngineStatus {
        EngineStatus { last_commit_ms: 100_000, peers_connected: 1, ..EngineStatus::default() }
    }

    #[test]
    fn ready_means_recent_progress() {
        let stale = engine().last_commit_ms + READY_INTERVALS * INTERVAL + READY_SLACK_MS + 1;
        for (engine, tip, now, expected) in [
            (engine(), (5, 100_000), 100_500, None),
            (engine(), (5, 100_000), stale, Some("no block for")),
            (
                EngineStatus { last_commit_ms: 0, ..engine() },
                (0, 1),
                100_500,
                Some("no block has been"),
            ),
            (EngineStatus::default(), (0, 1), 100_500, Some("no peer is connected")),
            (EngineStatus { peers_connected: 0, ..engine() }, (5, 1), stale, Some("no peer is")),
            (EngineStatus::default(), (5, 100_000), 100_500, None),
            (EngineStatus { syncing: true, ..engine() }, (5, 0), 100_500, Some("catching up")),
            (
                EngineStatus { fault: Some("disk".into()), ..engine() },
                (5, 0),
                100_500,
                Some("the engine stopped: disk"),
            ),
        ] {
            let ready = readiness(&engine, tip, INTERVAL, now);
            match expected {
                None => assert_eq!((ready.status, ready.reasons.len()), ("ready", 0)),
                Some(start) => {
                    assert_eq!(ready.status, "not_ready");
                    assert!(ready.reasons[0].starts_with(start), "{:?}", ready.reasons);
                }
            }
        }
    }

    #[test]
    fn a_node_that_does_not_progress_names_the_provinces_it_misses() {
        let missing = vec!["51".parse().unwrap(), "44".parse().unwrap()];
        let engine = EngineStatus { validators_missing: missing, ..engine() };
        let ready = readiness(&engine, (5, 0), INTERVAL, 1_000_000);
        assert!(ready.reasons[1].ends_with("51, 44"), "{:?}", ready.reasons);
        let last = Some(Heard { height: 5, round: 2, at_ms: 0 });
        let missing = [("51", last), ("44", None)]
            .map(|(province, last)| LastHeard { province: province.parse().unwrap(), last });
        let stall = Stall { answering: 2, quorum: 3, missing: missing.into(), ..Stall::default() };
        let ready =
            readiness(&EngineStatus { stall: Some(stall), ..engine }, (5, 0), INTERVAL, 1_000_000);
        assert_eq!(
            ready.reasons[1],
            "no quorum: 2 of 3 validators answer; missing 51 (last heard at height 5, round 2), 44 (not heard since this node was started)"
        );
    }
}
