//! Every public name of `ministore` 0.1.7, used with its full signature: once on the original and once on this crate, from
//! one text. A name that goes, or a type that changes, does not compile; a text that changes fails.
//!
//! Nothing here may be taken away before a version that gives up being a drop-in.

/// The whole of it, by the name of a crate.
macro_rules! surface {
    ($module:ident, $original:ident) => {
        mod $module {
            use std::{
                error::Error,
                fmt::{Debug, Display},
                future::Future,
                io,
                path::{Path, PathBuf},
            };

            use $original::{JournalStream, MiniStore, MiniStoreError, MiniStoreOptions};

            fn sends<T: Send + Sync + Unpin + 'static>() {}
            fn shows<T: Debug>() {}

            async fn gives<T>(future: impl Future<Output = T> + Send) -> T {
                future.await
            }

            /// Each variant with each of its fields, made and taken apart.
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

            fn taken_apart(error: MiniStoreError) -> String {
                // Another variant may be there: the enum of 0.1.7 was matched with an arm for what is not known, or is now.
                #[allow(unreachable_patterns, reason = "the original has no other variant")]
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

            /// What each error says, what it is caused by, and what is in it.
            pub(super) fn told() -> Vec<String> {
                fn is_error<T: Error + Display>(error: &T) -> String {
                    format!("{error}|{:?}", error.source().map(ToString::to_string))
                }
                let converted: [MiniStoreError; 2] =
                    [io::Error::other("io").into(), serde_json::from_str::<u8>("y").unwrap_err().into()];
                let errors = every_error().into_iter().chain(converted);
                errors.map(|error| format!("{}|{}", is_error(&error), taken_apart(error))).collect()
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

            /// Every call, by every kind of path; what came back.
            pub(super) async fn calls(dir: &Path) -> $original::Result<Vec<String>> {
                sends::<(MiniStore, MiniStoreError, MiniStoreOptions, JournalStream<String>)>();
                shows::<(MiniStore, MiniStoreOptions, MiniStoreError)>();
                let (first, second) = (dir.join("first"), dir.join("second"));
                let mut store: MiniStore =
                    gives::<$original::Result<MiniStore>>(MiniStore::open(&first)).await?;
                let appended: () =
                    gives::<$original::Result<()>>(MiniStore::append(&mut store, &"one")).await?;
                MiniStore::append(&mut store, &String::from("two")).await?;
                drop(store);
                let small = MiniStoreOptions::new().max_bytes_per_segment(1);
                let mut store = gives::<$original::Result<MiniStore>>(small.open(second.clone())).await?;
                MiniStore::append(&mut store, &3).await?;
                drop(store);
                let mut all: Vec<String> =
                    gives::<$original::Result<Vec<String>>>(MiniStore::replay::<String, _>(&first)).await?;
                let numbers: Vec<u32> = MiniStore::replay(second.to_str().unwrap_or_default()).await?;
                let mut stream: JournalStream<String> =
                    gives::<$original::Result<JournalStream<String>>>(MiniStore::stream(first)).await?;
                let next: Option<$original::Result<String>> = gives(stream.next()).await;
                all.push(format!("{numbers:?} {appended:?} {next:?}"));
                Ok(all)
            }
        }
    };
}

surface!(original, ministore);
surface!(ours, ministore_uring);

#[test]
fn errors_are_made_of_the_same_and_say_the_same() {
    let told = ours::told();
    assert_eq!(told, original::told());
    assert!(told.len() == 8 && !told.iter().any(|text| text.contains("a new one")));
}

#[test]
fn options_have_the_same_fields_and_defaults() {
    assert_eq!(ours::options(), original::options());
}

#[tokio::test]
async fn calls_have_the_same_signatures_and_outcomes() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let came = ours::calls(dirs[0].path()).await.unwrap();
    assert_eq!(came, original::calls(dirs[1].path()).await.unwrap());
    assert_eq!(came, ["one", "two", "[3] () Some(Ok(\"one\"))"]);
}
