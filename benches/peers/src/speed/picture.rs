//! Pictures of rate and latency over callers.
