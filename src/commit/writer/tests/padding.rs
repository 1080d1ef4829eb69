//! The padding of a segment whose header is a JSON object never exceeds its limit.

use super::*;
use crate::{Header, format::header::JSON_PADDING_MAX};

/// Returns the number of spaces at the end of the active segment.
fn padding(fixture: &StoreFixture) -> u64 {
    let bytes = fs::read(&fixture.path).unwrap();
    bytes.iter().rev().take_while(|&&byte| byte == b' ').count() as u64
}

/// Appends until steps of preallocation have their full size; returns the most padding that was seen.
fn fill(fixture: &StoreFixture) -> u64 {
    let record = "x".repeat(100 << 10);
    let mut most = 0;
    for count in 0..240 {
        finish(fixture.store.append(&record)).unwrap();
        if count > 200 {
            fixture.barrier();
            most = most.max(padding(fixture));
        }
    }
    most
}

#[test]
fn padding_after_json_header_is_limited() {
    for kind in backends() {
        let options = JournalOptions::new().max_segment_bytes(1 << 30);
        let with_comment = StoreFixture::open(kind, options.clone());
        assert!(fill(&with_comment) > JSON_PADDING_MAX, "the limit is of JSON headers only");
        let fixture = StoreFixture::open(kind, options.header(Header::Json));
        let most = fill(&fixture);
        assert!((JSON_PADDING_MAX / 3..=JSON_PADDING_MAX).contains(&most), "{most}");
        // A group that needs almost as much space again, before it is written.
        let record = "x".repeat(padding(&fixture) as usize + (3 << 20));
        fixture.faults.block(Op::Commit);
        let pending = fixture.submit(&record);
        fixture.faults.wait_until_blocked(Op::Commit);
        let before_write = padding(&fixture);
        fixture.faults.unblock(Op::Commit);
        pending.wait().unwrap();
        assert!(before_write <= JSON_PADDING_MAX, "{before_write}");
        fixture.barrier();
        assert!(padding(&fixture) <= JSON_PADDING_MAX);
    }
}
