//! The deterministic rules: who may do what to which licence.
