//! Random bytes from the operating system, and nothing that pretends to be them.

use crate::output::Failure;

/// `N` fresh random bytes.
///
/// # Errors
///
/// When the system gives none.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| no_entropy(&e))?;
    Ok(bytes)
}

/// Fills `bytes` with fresh random bytes: one question to the system for many digests.
///
/// # Errors
///
/// When the system gives none.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|e| no_entropy(&e))
}

/// A random number below `bound`, which is not 0. The bias of the remainder is below 2^-31 for
/// bounds of 32 bits.
///
/// # Errors
///
/// When the system gives no random bytes.
pub(crate) fn below(bound: usize) -> Result<usize, Failure> {
    let number = getrandom::u64().map_err(|e| no_entropy(&e))?;
    let below = number % u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
    Ok(usize::try_from(below).unwrap_or(0))
}

fn no_entropy(error: &getrandom::Error) -> Failure {
    Failure::refused(
        "no_entropy",
        format!("the system gives no random bytes: {error}"),
        "nothing is signed without them; try again on a healthy system",
    )
}
