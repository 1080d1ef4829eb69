//! Uses every public name of `ministore` 0.1.7 with its full signature, from one source, on that crate and on this one. A removed
//! name or a changed type does not compile; a changed text fails.
//!
//! Nothing may be removed here unless a version gives up drop-in compatibility.

/// The uses of all names, in a module for one of the two crates.
macro_rules! api_surface {
    ($module:ident, $krate:ident) => {
        mod $module {
            use std::{
                error::Error,
                fmt::{Debug, Display},
                future::Future,
                io,
                path::{Path, PathBuf},
            };

            use $krate::{JournalStream, MiniStore, MiniStoreError, MiniStoreOptions};

            fn assert_send<T: Send + Sync + Unpin + 'static>() {}
            fn assert_debug<T: Debug>() {}

            async fn typed<T>(future: impl Future<Output = T> + Send) -> T {
                future.await
            }

            /// Constructs each variant with each of its fields.
            fn every_error() -> [MiniStoreError; 6] {
                let json = || serde_json::from_str::<u8>("x").unwrap_err();
                [
                    MiniStoreError::Io { source: io::Error::other("no") },
                    MiniStoreError::Serialize { source: json() },
                    MiniStoreError::Deserialize { line: 7, source: json() },
                    MiniStoreError::MissingInitialState,
                    MiniStoreError::PathIsNotFile { path: PathBuf::from("/a") },
                    MiniStoreError::InvalidArgument("b".to_owned()),
                ]
            }

            fn destructure(error: MiniStoreError) -> String {
                // This crate has more variants than 0.1.7.
                #[allow(unreachable_patterns, reason = "0.1.7 has no other variant")]
                match error {
                    MiniStoreError::Io { source } => source.to_string(),
                    MiniStoreError::Serialize { source } => source.to_string(),
                    MiniStoreError::Deserialize { line, source } => {
                        let line: usize = line;
                        format!("{line} {source}")
                    }
                    MiniStoreError::MissingInitialState => String::new(),
                    MiniStoreError::PathIsNotFile { path } => path.display().to_string(),
                    MiniStoreError::InvalidArgument(text) => text,
                    _ => "a new one".to_owned(),
                }
            }

            /// Returns the text, the source and the fields of each error.
            pub(super) fn error_texts() -> Vec<String> {
                fn is_error<T: Error + Display>(error: &T) -> String {
                    format!("{error}|{:?}", error.source().map(ToString::to_string))
                }
                let converted: [MiniStoreError; 2] =
                    [io::Error::other("io").into(), serde_json::from_str::<u8>("y").unwrap_err().into()];
                let errors = every_error().into_iter().chain(converted);
                errors.map(|error| format!("{}|{}", is_error(&error), destructure(error))).collect()
            }

            pub(super) fn options() -> (u64, usize, u64, usize) {
                let MiniStoreOptions { max_bytes_per_segment, max_segments } = MiniStoreOptions::new();
                let made = MiniStoreOptions { max_bytes_per_segment: 5, max_segments: 6 };
                let set: MiniStoreOptions = made.clone().max_bytes_per_segment(7_u64).max_segments(8_usize);
                (
                    max_bytes_per_segment,
                    max_segments,
                    set.max_bytes_per_segment + made.max_bytes_per_segment,
                    set.max_segments,
                )
            }

            /// Makes every call, with various path types; returns the outcomes.
            pub(super) async fn calls(dir: &Path) -> $krate::Result<Vec<String>> {
                assert_send::<(MiniStore, MiniStoreError, MiniStoreOptions, JournalStream<String>)>();
                assert_debug::<(MiniStore, MiniStoreOptions, MiniStoreError)>();
                let (first, second) = (dir.join("first"), dir.join("second"));
                let mut store: MiniStore =
                    typed::<$krate::Result<MiniStore>>(MiniStore::open(&first)).await?;
                let appended: () = typed::<$krate::Result<()>>(MiniStore::append(&mut store, &"one")).await?;
                MiniStore::append(&mut store, &String::from("two")).await?;
                drop(store);
                let small = MiniStoreOptions::new().max_bytes_per_segment(1);
                let mut store = typed::<$krate::Result<MiniStore>>(small.open(second.clone())).await?;
                MiniStore::append(&mut store, &3).await?;
                drop(store);
                let mut all: Vec<String> =
                    typed::<$krate::Result<Vec<String>>>(MiniStore::replay::<String, _>(&first)).await?;
                let numbers: Vec<u32> = MiniStore::replay(second.to_str().unwrap_or_default()).await?;
                let mut stream: JournalStream<String> =
                    typed::<$krate::Result<JournalStream<String>>>(MiniStore::stream(first)).await?;
                let next: Option<$krate::Result<String>> = typed(stream.next()).await;
                all.push(format!("{numbers:?} {appended:?} {next:?}"));
                Ok(all)
            }
        }
    };
}

api_surface!(legacy, ministore);
api_surface!(current, ministore_uring);

#[test]
fn errors_have_the_same_fields_and_texts() {
    let texts = current::error_texts();
    assert_eq!(texts, legacy::error_texts());
    assert!(texts.len() == 8 && !texts.iter().any(|text| text.contains("a new one")));
}

#[test]
fn options_have_the_same_fields_and_defaults() {
    assert_eq!(current::options(), legacy::options());
}

#[tokio::test]
async fn calls_have_the_same_signatures_and_outcomes() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let outcomes = current::calls(dirs[0].path()).await.unwrap();
    assert_eq!(outcomes, legacy::calls(dirs[1].path()).await.unwrap());
    assert_eq!(outcomes, ["one", "two", "[3] () Some(Ok(\"one\"))"]);
}
