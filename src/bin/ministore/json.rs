//! Owns the JSON shape of what `maintenance` found: the same names in `inspect` and `verify`.

use ministore_uring::maintenance::{Fault, Segment};
use serde_json::{Value, json};

pub(crate) fn segment(segment: &Segment) -> Value {
    json!({
        "file": segment.path.to_string_lossy(),
        "records": segment.records,
        "first_seq": segment.first_seq,
        "last_seq": segment.last_seq,
        "groups": segment.groups,
        "file_bytes": segment.file_bytes,
        "data_bytes": segment.data_bytes,
        "padding_bytes": segment.padding_bytes,
        "sealed": segment.sealed,
        "state": segment.state.to_string(),
    })
}

pub(crate) fn fault(fault: &Fault) -> Value {
    json!({
        "file": fault.segment.to_string_lossy(),
        "offset": fault.offset,
        "line": fault.line,
        "seq": fault.seq,
        "reason": fault.reason,
    })
}

pub(crate) fn faults(faults: &[Fault]) -> Value {
    faults.iter().map(fault).collect()
}
