//! `ingest --resume`: after any interruption every line is appended exactly once.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use crate::support::{CommandExt, ProgramOutput, TestDir, feed, head, lines, ministore, quarantined};

/// Returns the lines in a quarantine file.
fn texts(path: &Path) -> Vec<String> {
    quarantined(path).iter().map(|entry| entry["text"].as_str().unwrap().to_owned()).collect()
}

/// Starts a run on standard input, sends the first `given` lines, and kills it once `seen` are durable.
fn run_and_kill(dir: &TestDir, command: &mut Command, text: &str, given: usize, seen: usize) {
    let mut child = command.spawn_with_stdin();
    feed(&mut child, head(text, given).as_bytes());
    dir.wait_for_durable(seen);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn resume(dir: &TestDir) -> Command {
    let mut command = dir.ingest();
    command.arg("--resume");
    command
}

#[test]
fn resume_after_kills_completes_the_input() {
    let (dir, text) = (TestDir::new(), lines(4000));
    run_and_kill(&dir, &mut dir.ingest(), &text, 900, 600);
    for seen in [1000, 1001, 2300, 3700] {
        run_and_kill(&dir, &mut resume(&dir), &text, seen + 300, seen);
    }
    let output = resume(&dir).arg("--json").run_with_stdin(text.as_bytes()).ok();
    assert_eq!(dir.replay(), text);
    let count = |name: &str| output.json()[name].as_u64().unwrap();
    assert_eq!(count("already_present") + count("records"), 4000);
    assert!(count("already_present") >= 3700);
}

#[test]
fn file_input_resumes_after_kills() {
    let (dir, text) = (TestDir::new(), lines(60_000));
    let file = dir.write("in.ndjson", &text);
    for seen in [1, 10_000, 30_000] {
        let mut child = resume(&dir).arg(&file).spawn().unwrap();
        dir.wait_for_durable(seen);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    resume(&dir).arg(&file).run().ok();
    assert!(dir.replay() == text);
}

#[test]
fn bad_lines_are_quarantined_once_and_not_counted() {
    let dir = TestDir::new();
    let text_with_bad_lines = |count| {
        let line =
            |(n, line): (usize, &str)| if n % 7 == 0 { format!("bad {n}\n\n") } else { format!("{line}\n") };
        lines(count).lines().enumerate().map(line).collect::<String>()
    };
    let text = text_with_bad_lines(2000);
    let (bad, good): (Vec<_>, Vec<_>) =
        text.split_inclusive('\n').filter(|line| *line != "\n").partition(|line| line.starts_with("bad"));
    let bad_file = dir.write("bad", "from before\n");
    let on_error = format!("--on-error=quarantine={}", bad_file.display());

    run_and_kill(&dir, dir.ingest().arg(&on_error), &text, 900, 600);
    run_and_kill(&dir, &mut resume(&dir), &text, 1500, 1000);
    resume(&dir).run_with_stdin(text.as_bytes()).ok();
    assert_eq!(dir.replay(), good.concat());
    assert!(fs::read_to_string(&bad_file).unwrap().starts_with("from before\n"));
    assert_eq!(texts(&bad_file).join("\n") + "\n", bad.concat());
}

#[test]
fn resume_continues_after_existing_records() {
    let (dir, text) = (TestDir::new(), lines(800));
    dir.ingest().run_with_stdin(b"\"before\"\n").ok();
    run_and_kill(&dir, &mut dir.ingest(), &text, 500, 400);
    resume(&dir).run_with_stdin(text.as_bytes()).ok();
    assert_eq!(dir.replay(), "\"before\"\n".to_owned() + &text);
}

#[test]
fn run_resumes_after_bad_line_is_fixed() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"1\n2\nx\n4\n").code(65);
    resume(&dir).run_with_stdin(b"1\n2\n3\n4\n").ok();
    assert_eq!(dir.replay(), "1\n2\n3\n4\n");
}

#[test]
fn resume_after_complete_run_does_nothing() {
    let (dir, text) = (TestDir::new(), lines(500));
    let file = dir.write("in.ndjson", &text);
    dir.ingest().arg(&file).run().ok();
    for _ in 0..2 {
        let output = resume(&dir).arg(&file).run().ok();
        assert!(output.stdout.contains("nothing to do"), "{}", output.stdout);
        assert_eq!(dir.replay(), text);
    }
}

#[test]
fn resume_after_complete_run_keeps_later_appends() {
    let dir = TestDir::new();
    let (file, other) = (dir.write("in", "1\n2\n"), dir.write("other", "3\n"));
    dir.ingest().arg(&file).run().ok();
    let ministore = ministore_uring::MiniStore::open_blocking(dir.journal()).unwrap();
    ministore.blocking().append(&"later").unwrap();
    ministore.blocking().close().unwrap();
    assert!(resume(&dir).arg(&file).run().ok().stdout.contains("nothing to do"));
    // After a complete run, another input starts a new run.
    resume(&dir).arg(&other).run().ok();
    assert_eq!(dir.replay(), "1\n2\n\"later\"\n3\n");
}

#[test]
fn grown_input_is_resumed() {
    let dir = TestDir::new();
    let file = dir.write("in", "1\n2\n");
    dir.ingest().arg(&file).run().ok();
    fs::write(&file, "1\n2\n3\n").unwrap();
    resume(&dir).arg(&file).run().ok();
    assert_eq!(dir.replay(), "1\n2\n3\n");
}

#[test]
fn resume_without_earlier_run_starts_at_line_1() {
    let dir = TestDir::new();
    resume(&dir).run_with_stdin(b"1\n2\n").ok();
    assert_eq!(dir.replay(), "1\n2\n");
}

/// Creates a journal whose run stopped after two of three lines.
fn stopped_run() -> TestDir {
    let dir = TestDir::new();
    let file = dir.write("in", "1\n2\nx\n");
    dir.ingest().arg(file).run().code(65);
    dir
}

fn assert_rejected(dir: &TestDir, output: ProgramOutput, code: i32) -> String {
    let output = output.code(code);
    assert_eq!(dir.replay(), "1\n2\n");
    output.error().to_owned()
}

#[test]
fn changed_line_is_rejected_with_location() {
    let dir = stopped_run();
    let file = dir.write("in", "1\n\n7\n3\n");
    let error = assert_rejected(&dir, resume(&dir).arg(&file).run(), 65);
    assert!(error.starts_with(&format!("{}:3:1: ", file.display())), "{error}");
    assert!(error.contains("record 2"), "{error}");
}

#[test]
fn too_short_input_is_rejected() {
    let dir = stopped_run();
    let file = dir.write("in", "1\n");
    assert_rejected(&dir, resume(&dir).arg(&file).run(), 65);
}

#[test]
fn different_input_returns_64() {
    let dir = stopped_run();
    let other = dir.write("other", "1\n2\n3\n");
    let error = assert_rejected(&dir, resume(&dir).arg(&other).run(), 64);
    assert!(error.contains(&*dir.path("in").to_string_lossy()), "{error}");
}

#[test]
fn run_without_resume_warns_and_restarts() {
    let dir = stopped_run();
    let output = dir.ingest().run_with_stdin(b"1\n").ok();
    assert!(output.error().contains("warning"), "{output:?}");
    assert_eq!(dir.replay(), "1\n2\n1\n");
}

#[test]
fn resume_skips_records_deleted_by_retention() {
    let (dir, text) = (TestDir::new(), lines(6000));
    let options = ["--max-segment-bytes", "64KiB", "--max-segments", "2", "--no-preallocate"];
    for seen in [200, 400] {
        let mut child = resume(&dir).args(options).spawn_with_stdin();
        feed(&mut child, head(&text, 5000).as_bytes());
        dir.wait_for_durable(seen);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    resume(&dir).args(options).run_with_stdin(text.as_bytes()).ok();
    let last = dir.command("replay").arg("--with-seq").run().ok();
    assert!(last.stdout.lines().last().unwrap().starts_with("6000\t"));
    assert!(text.ends_with(&dir.replay()));
}

#[test]
fn shared_quarantine_keeps_lines_of_other_runs() {
    let dir = TestDir::new();
    let text = |name: &str| -> String {
        let line = |n: usize| {
            if n % 100 == 7 { format!("bad-{name} {n}\n") } else { format!("{{\"{name}\":{n}}}\n") }
        };
        (0..3000).map(line).collect()
    };
    let (a, b) = (text("a"), dir.write("b", text("b")));
    let q = dir.path("q");
    let on_error = format!("--on-error=quarantine={}", q.display());
    run_and_kill(&dir, dir.ingest().arg(&on_error), &a, 2000, 1000);
    let mut other = ministore(["ingest".as_ref(), dir.path("other.jsonl").as_os_str()]);
    other.arg(&on_error).arg(&b).run().ok();
    resume(&dir).run_with_stdin(a.as_bytes()).ok();
    for name in ["bad-a", "bad-b"] {
        assert_eq!(texts(&q).iter().filter(|text| text.starts_with(name)).count(), 30, "{name}");
    }
}

/// Returns an input of which 100 lines are in the journal.
fn interrupted_file() -> (TestDir, std::path::PathBuf) {
    let dir = TestDir::new();
    let file = dir.write("in", lines(100) + "bad\n");
    dir.ingest().arg(&file).run().code(65);
    dir.write("in", lines(150));
    (dir, file)
}

#[test]
fn resume_without_checkpoint_is_refused() {
    let (dir, file) = interrupted_file();
    fs::remove_file(dir.path("journal.jsonl.ingest-checkpoint")).unwrap();
    let output = resume(&dir).arg(&file).run().code(65);
    assert!(output.error().contains("already contains lines of"), "{output:?}");
    assert!(output.error().contains("from record 1 on"), "{output:?}");
    assert!(output.hint().contains("--allow-duplicates"), "{output:?}");
    assert_eq!(dir.durable(), 100);
    // Neither can it be excluded for standard input.
    let output = resume(&dir).run_with_stdin(b"1\n").code(65);
    assert!(output.error().contains("cannot be searched for"), "{output:?}");
    resume(&dir).arg("--allow-duplicates").arg(&file).run().ok();
    assert_eq!(dir.durable(), 250);
    // Another input was not ingested.
    let other = dir.write("other", "\"other\"\n");
    resume(&dir).arg(&other).run().ok();
    assert_eq!(dir.durable(), 251);
}

#[test]
fn resume_after_another_run_is_refused() {
    let (dir, file) = interrupted_file();
    dir.ingest().run_with_stdin(b"{\"other\":1}\n").ok();
    let output = resume(&dir).arg(&file).run().code(65);
    assert!(output.error().starts_with(&format!("{}:101:1: ", file.display())), "{output:?}");
    assert!(
        output.error().contains("up to record 100") && output.hint().contains("tail -n +101"),
        "{output:?}"
    );
    assert_eq!(dir.durable(), 101);
}

#[test]
fn checkpoint_is_found_through_links() {
    for (first, second) in [("link.jsonl", "journal.jsonl"), ("journal.jsonl", "link.jsonl")] {
        let dir = TestDir::new();
        dir.ingest().run_with_stdin(b"").ok();
        symlink(dir.journal(), dir.path("link.jsonl")).unwrap();
        let file = dir.write("in", lines(100) + "bad\n");
        symlink(&file, dir.path("in-link")).unwrap();
        let ingest = |journal: &str| ministore(["ingest".as_ref(), dir.path(journal).as_os_str()]);
        ingest(first).arg(&file).run().code(65);
        dir.write("in", lines(150));
        let output = ingest(second).arg("--resume").arg(dir.path("in-link")).run().ok();
        assert!(output.stdout.contains("50 durable"), "{output:?}");
        assert_eq!(dir.replay(), lines(150));
    }
}

#[test]
fn run_with_more_inputs_is_recognised() {
    let dir = TestDir::new();
    let (a, b) = (dir.write("a", lines(50)), dir.write("b", "\"b\"\n"));
    dir.ingest().arg(&a).run().ok();
    let output = resume(&dir).arg(&b).arg(&a).run().code(65);
    assert!(output.error().contains("already contains lines of"), "{output:?}");
    // The search is limited to what may come from the input.
    resume(&dir).arg(&b).run().ok();
    assert_eq!(dir.durable(), 51);
}

#[test]
fn second_run_with_the_same_file_warns() {
    let dir = TestDir::new();
    let file = dir.write("in", lines(20));
    dir.ingest().arg(&file).run().ok();
    let output = dir.ingest().arg(&file).run().ok();
    assert!(output.error().contains("was ingested before (20 records from record 1 on)"), "{output:?}");
    assert_eq!(dir.durable(), 40);
    assert!(dir.ingest().arg("--allow-duplicates").arg(&file).run().ok().stderr.is_empty());
    fs::write(&file, "\"new\"\n").unwrap();
    assert!(dir.ingest().arg(&file).run().ok().stderr.is_empty(), "other lines in a file of this name");
}

#[test]
fn foreign_checkpoint_is_not_replaced() {
    for content in ["notes\n", "// MINISTORE JOURNAL v0.1.4\n1\n", ""] {
        let dir = TestDir::new();
        let path = dir.write("journal.jsonl.ingest-checkpoint", content);
        for args in [&[][..], &["--resume"]] {
            let output = dir.ingest().args(args).run_with_stdin(b"1\n").code(73);
            assert!(output.error().contains("is not a checkpoint"), "{output:?}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
        assert!(!dir.journal().exists());
    }
    let dir = TestDir::new();
    let target = dir.write("target", "mine\n");
    symlink(&target, dir.path("journal.jsonl.ingest-checkpoint")).unwrap();
    dir.ingest().run_with_stdin(b"1\n").code(73);
    assert_eq!(fs::read_to_string(target).unwrap(), "mine\n");
}
