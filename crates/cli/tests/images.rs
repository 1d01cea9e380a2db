//! `pentimento run --root` with tar files and container images, good ones and hostile ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use std::io::Write;

use guest::{Scratch, Step, arguments, doing, saying};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// A tar file that is being written.
struct Tar(Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn header(kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header
    }

    fn file(mut self, path: &str, content: &[u8]) -> Self {
        let mut header = Self::header(EntryType::Regular, content.len() as u64);
        self.0.append_data(&mut header, path, content).unwrap();
        self
    }

    fn link(mut self, kind: EntryType, path: &str, target: &str) -> Self {
        self.0.append_link(&mut Self::header(kind, 0), path, target).unwrap();
        self
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.link(EntryType::Symlink, path, target)
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.link(EntryType::Link, path, target)
    }

    fn folder(mut self, path: &str) -> Self {
        let mut header = Self::header(EntryType::Directory, 0);
        self.0.append_data(&mut header, path, &[][..]).unwrap();
        self
    }

    /// An entry whose path `append_data` would refuse.
    fn raw(mut self, kind: EntryType, path: &[u8], target: &[u8], content: &[u8]) -> Self {
        let mut header = Self::header(kind, content.len() as u64);
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A root with one program of each kind of name.
fn root() -> Vec<u8> {
    let long = format!("opt/{}/{}", "long".repeat(40), "name".repeat(30));
    Tar::new()
        .raw(EntryType::Directory, b"./", b"", b"")
        .file("./bin/hello", &saying("hello"))
        .file("tmp/hello", &saying("in tmp"))
        .symlink("usr/bin", "/bin")
        .hard_link("bin/again", "bin/hello")
        .symlink("bin/soft", "hello")
        // Through a link, as container engines unpack it.
        .file("usr/bin/through", &saying("through"))
        .file(&long, &saying("long"))
        .symlink("bin/long", &format!("/{long}"))
        .bytes()
}

#[test]
fn a_tar_file_is_a_root_in_every_compression() {
    let (scratch, root) = (Scratch::new(), root());
    scratch.write("root.tar", &root);
    scratch.write("root.tar.gz", &gzip(&root));
    scratch.write("root.tar.xz", &xz(&root));
    scratch.write("root.tar.zst", &zstd(&root));
    for file in ["root.tar", "root.tar.gz", "root.tar.xz", "root.tar.zst"] {
        for (program, line) in [
            ("hello", "hello\n"),
            ("again", "hello\n"),
            ("soft", "hello\n"),
            ("through", "through\n"),
            ("long", "long\n"),
            ("/tmp/hello", "in tmp\n"),
        ] {
            let said = scratch.pentimento(&["run", "--root", file, program]);
            assert_eq!(
                (said.stdout.as_str(), said.code),
                (line, Some(0)),
                "{file} {program}: {}",
                said.stderr
            );
        }
    }
    // Only files that were there before: nothing is unpacked.
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 4);
}

#[test]
fn a_tar_file_is_copied_on_write_and_its_changes_can_be_saved() {
    let scratch = Scratch::new();
    let writer = doing(&[Step::Write("/etc/new", "new"), Step::Remove("/bin/hello")]);
    scratch.write(
        "root.tar",
        &Tar::new().file("bin/hello", b"").file("etc/old", b"").file("bin/writer", &writer).bytes(),
    );
    let before = std::fs::read(scratch.path().join("root.tar")).unwrap();
    let said = scratch.pentimento(&["run", "--root", "root.tar", "--save", "changes.tar", "writer"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert_eq!(std::fs::read(scratch.path().join("root.tar")).unwrap(), before);
    let changes = std::fs::read(scratch.path().join("changes.tar")).unwrap();
    let mut archive = tar::Archive::new(changes.as_slice());
    let files = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    let files: Vec<String> = files.filter(|path| !path.ends_with('/')).collect();
    assert_eq!(files, ["bin/.wh.hello", "etc/new"]);
    scratch.pentimento(&["run", "--rw", "--root", "root.tar", "writer"]).refuses("--save FILE.tar");
}

/// The files of an image: three layers, of which the later ones remove what the first has.
struct Layers {
    layers: Vec<Vec<u8>>,
    config: String,
}

fn layers() -> Layers {
    let first = Tar::new()
        .file("bin/kept", &saying("kept"))
        .file("bin/replaced", &saying("old"))
        .file("bin/gone", &saying("gone"))
        .file("opt/below", &saying("below"))
        .file("srv/deep/below", &saying("deep"))
        .file("etc/passwd", b"root:x:0:0::/root:\nada:x:1000:100::/home/ada:\n")
        .file("bin/arguments", &arguments());
    let second = Tar::new()
        .file("bin/replaced", &saying("new"))
        .raw(EntryType::Regular, b"bin/.wh.gone", b"", b"")
        // The mark hides the layers below whether it comes first or last.
        .file("opt/above", &saying("above"))
        .raw(EntryType::Regular, b"opt/.wh..wh..opq", b"", b"")
        .raw(EntryType::Regular, b".wh.srv", b"", b"");
    let third = Tar::new().hard_link("bin/twice", "bin/kept").file("srv/again", &saying("again"));
    let layers: Vec<Vec<u8>> = [first, second, third].map(Tar::bytes).into();
    let digests: Vec<String> = layers.iter().map(|layer| format!("\"sha256:{}\"", sha256(layer))).collect();
    let config = format!(
        r#"{{"architecture":"386","os":"linux","config":{{"Env":["PATH=/opt:/bin","A=image"],
           "Entrypoint":["arguments"],"Cmd":["from the image"],"WorkingDir":"/opt","User":"ada"}},
           "rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        digests.join(",")
    );
    Layers { layers, config }
}

impl Layers {
    /// The files of an OCI image layout; `pack` is what each layer is compressed with.
    fn layout(&self, pack: fn(&[u8]) -> Vec<u8>) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
        let mut blob = |bytes: Vec<u8>| {
            let (digest, size) = (sha256(&bytes), bytes.len());
            files.push((format!("blobs/sha256/{digest}"), bytes));
            format!(r#""digest":"sha256:{digest}","size":{size}"#)
        };
        let layers: Vec<String> =
            self.layers.iter().map(|layer| format!("{{{}}}", blob(pack(layer)))).collect();
        let config = blob(self.config.clone().into_bytes());
        let manifest =
            format!(r#"{{"schemaVersion":2,"config":{{{config}}},"layers":[{}]}}"#, layers.join(","));
        let manifest = blob(manifest.into_bytes());
        let other =
            r#""digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":1"#;
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[
               {{"mediaType":"application/vnd.oci.image.manifest.v1+json",{other},"platform":{{"architecture":"amd64","os":"linux"}}}},
               {{"mediaType":"application/vnd.oci.image.manifest.v1+json",{manifest},"platform":{{"architecture":"386","os":"linux"}}}}]}}"#
        );
        // As `docker save` of an image for several platforms: an index within the index.
        let index = blob(index.into_bytes());
        let top =
            format!(r#"{{"manifests":[{{"mediaType":"application/vnd.oci.image.index.v1+json",{index}}}]}}"#);
        files.push(("index.json".into(), top.into_bytes()));
        files
    }

    /// What `docker save` wrote before it knew of OCI: layers in folders, one of them a link.
    fn docker(&self) -> Vec<u8> {
        let names: Vec<String> =
            (0..self.layers.len()).map(|number| format!("\"{number}/layer.tar\"")).collect();
        let manifest =
            format!(r#"[{{"Config":"config.json","RepoTags":["x:latest"],"Layers":[{}]}}]"#, names.join(","));
        Tar::new()
            .file("real/first.tar", &self.layers[0])
            .symlink("0/layer.tar", "../real/first.tar")
            .file("1/layer.tar", &self.layers[1])
            .file("2/layer.tar", &self.layers[2])
            .file("config.json", self.config.as_bytes())
            .file("manifest.json", manifest.as_bytes())
            .bytes()
    }
}

fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    files.iter().fold(Tar::new(), |tar, (path, content)| tar.file(path, content)).bytes()
}

#[test]
fn images_of_every_form_are_layers_over_each_other() {
    let (scratch, image) = (Scratch::new(), layers());
    for (path, content) in image.layout(gzip) {
        scratch.write(&format!("layout/{path}"), &content);
    }
    scratch.write("oci.tar", &tar_of(&image.layout(zstd)));
    scratch.write("plain-oci.tar.gz", &gzip(&tar_of(&image.layout(<[u8]>::to_vec))));
    scratch.write("docker.tar", &image.docker());
    for root in ["layout", "oci.tar", "plain-oci.tar.gz", "docker.tar"] {
        let run = |program: &[&str]| scratch.pentimento(&[&["run", "--root", root], program].concat());
        for (program, line) in [
            ("kept", "kept\n"),
            ("twice", "kept\n"),
            ("replaced", "new\n"),
            ("above", "above\n"),
            ("/srv/again", "again\n"),
        ] {
            let said = run(&[program]);
            assert_eq!(
                (said.stdout.as_str(), said.code),
                (line, Some(0)),
                "{root} {program}: {}",
                said.stderr
            );
        }
        for program in ["gone", "below", "/srv/deep/below", "/bin/.wh.gone", "/opt/.wh..wh..opq"] {
            assert_eq!(run(&[program]).code, Some(127), "{root} {program}");
        }
        // The image's program, environment and user, where nothing else is said.
        let said = run(&[]);
        let shown: Vec<&str> =
            said.stdout.lines().filter_map(|line| Some(line.split_once(" = ")?.1)).collect();
        let expected =
            ["arguments", "from the image", "PATH=/opt:/bin", "HOME=/home/ada", "LANG=C.UTF-8", "A=image"];
        assert_eq!(shown, expected, "{root}: {said:?}");
        let said = run(&["--clear-env", "--env", "B=mine", "/bin/arguments", "mine"]);
        assert!(!said.stdout.contains("A=image") && said.stdout.contains("B=mine"), "{said:?}");
    }
}

#[test]
fn what_is_wrong_with_an_image_is_said_in_one_line() {
    let (scratch, image) = (Scratch::new(), layers());
    let refused = |files: &[(String, Vec<u8>)], reason: &str| {
        scratch.write("image.tar", &tar_of(files));
        scratch.pentimento(&["run", "--root", "image.tar", "kept"]).refuses(reason);
    };
    let good = image.layout(gzip);
    // A layer's content is another one.
    let mut files = good.clone();
    files[1].1 = gzip(&Tar::new().bytes());
    refused(&files, "does not have the digest sha256:");
    // A layer is missing.
    let mut files = good.clone();
    files.remove(1);
    refused(&files, "cannot read blobs/sha256/");
    // An index that names no image for us, or no JSON at all.
    let with_index = |index: &str| {
        let mut files = good.clone();
        files.last_mut().unwrap().1 = index.as_bytes().to_vec();
        files
    };
    refused(&with_index(r#"{"manifests":[]}"#), "--platform linux/386");
    refused(&with_index("nonsense"), "index.json");
    refused(&with_index(r#"{"manifests":[{"digest":"sha256:../../etc/passwd"}]}"#), "no sha256");
    refused(&with_index(&"[".repeat(100_000)), "index.json");
    // Docker's: a changed layer, and two images in one file.
    let mut docker = layers();
    docker.layers[1] = Tar::new().file("bin/other", b"").bytes();
    scratch.write("image.tar", &docker.docker());
    scratch
        .pentimento(&["run", "--root", "image.tar", "kept"])
        .refuses("1/layer.tar does not have the digest");
    let two =
        r#"[{"Config":"a","RepoTags":["a:1"],"Layers":[]},{"Config":"b","RepoTags":["b:2"],"Layers":[]}]"#;
    refused(
        &[("manifest.json".to_owned(), two.as_bytes().to_vec())],
        "several images (a:1, b:2); save only one",
    );
    // A user that the image does not have.
    let mut unknown = layers();
    unknown.config = unknown.config.replace("\"ada\"", "\"bob\"");
    scratch.write("image.tar", &unknown.docker());
    scratch.pentimento(&["run", "--root", "image.tar", "kept"]).refuses("no user 'bob'");
}

#[test]
fn hostile_archives_are_refused_in_one_line() {
    let scratch = Scratch::new();
    let good = Tar::new().file("bin/hello", &saying("hello")).bytes();
    let mut checksum = good.clone();
    checksum[10] ^= 1;
    let mut huge = good.clone();
    huge[124..136].copy_from_slice(b"77777777777\0");
    let mut header = Header::from_byte_slice(&huge[..512]).clone();
    header.set_cksum();
    huge[..512].copy_from_slice(header.as_bytes());
    let many = (0..50).fold(Tar::new(), |tar, number| {
        tar.symlink(&format!("l{number}"), &format!("l{}", (number + 1) % 50))
    });
    let mut packed = gzip(&root());
    let middle = packed.len() / 2;
    packed[middle] ^= 0x55;
    let mut wrong_sum = gzip(&root());
    let end = wrong_sum.len() - 6;
    wrong_sum[end] ^= 1;
    let half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let raw = |kind, path: &[u8], target: &[u8], content: &[u8]| {
        Tar::new().raw(kind, path, target, content).bytes()
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "no tar header"),
        ("text", b"#!/bin/sh\n".repeat(200), "no tar header"),
        ("a program", saying("x"), "it is a program"),
        ("bzip2", b"BZh91AY&SY".to_vec(), "bunzip2"),
        ("up and out", raw(EntryType::Regular, b"../../etc/passwd", b"", b"x"), "leads out of the archive"),
        ("hidden up", raw(EntryType::Regular, b"a/../../b", b"", b"x"), "leads out of the archive"),
        ("checksum", checksum, "no tar header"),
        ("huge size", huge, "cut off"),
        ("cut off in a header", good[..good.len() - 1024 - 200].to_vec(), "cut off"),
        ("cut off at the end", good[..good.len() - 1024].to_vec(), "cut off"),
        (
            "links in a circle",
            many.raw(EntryType::Regular, b"l0/x", b"", b"x").bytes(),
            "too many symbolic links",
        ),
        (
            "a link to itself",
            raw(EntryType::Link, b"x", b"x", b""),
            "a hard link to a file that is not there",
        ),
        (
            "a link out",
            raw(EntryType::Link, b"x", b"../../etc/passwd", b""),
            "a hard link to a file that is not there",
        ),
        (
            "a link to a folder",
            Tar::new().folder("d").hard_link("x", "d").bytes(),
            "a hard link to a directory",
        ),
        ("through a file", Tar::new().file("f", b"").file("f/g", b"").bytes(), "leads through a file"),
        ("a type of another world", raw(EntryType::new(b'M'), b"x", b"", b""), "of a type"),
        ("records that lie", raw(EntryType::XHeader, b"x", b"", b"99 path=x\n"), "PAX records"),
        (
            "a long name that lies",
            raw(EntryType::GNULongName, b"x", b"", &vec![b'a'; 2 << 20]),
            "more than a megabyte",
        ),
        ("a name too long", Tar::new().file(&"n".repeat(300), b"").bytes(), "255 bytes"),
        ("too deep", Tar::new().file(&"d/".repeat(2000), b"").bytes(), "1024 directories"),
        ("gzip cut off", half(gzip(&root())), "gzip"),
        ("gzip damaged", packed, ""),
        ("gzip with another checksum", wrong_sum, "gzip"),
        ("xz cut off", half(xz(&root())), "xz"),
        ("zstd cut off", half(zstd(&root())), "zstd"),
        ("zstd of nothing", vec![0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff], "zstd"),
    ];
    for (name, bytes, reason) in cases {
        scratch.write("hostile.tar", &bytes);
        let said = scratch.pentimento(&["run", "--root", "hostile.tar", "hello"]);
        assert!(!said.stderr.contains("panicked"), "{name}: {said:?}");
        said.refuses(reason);
    }
}

#[test]
fn bombs_stop_at_the_limit() {
    let scratch = Scratch::new();
    // 64 MiB of zeroes and of a pattern, in a few kilobytes each.
    for (name, pattern) in [("zeroes", &[0_u8; 16][..]), ("pattern", b"0123456789abcdef")] {
        let content = pattern.repeat(4 << 20);
        let tar = Tar::new().file("bin/big", &content).file("bin/hello", &saying("hello")).bytes();
        scratch.write(&format!("{name}.tar.gz"), &gzip(&tar));
        let file = format!("{name}.tar.gz");
        let said = scratch.pentimento(&["run", "--root", &file, "--image-limit", "1M", "hello"]);
        said.refuses("more than 1048576 bytes");
        assert!(said.stderr.contains("--image-limit"), "{said:?}");
        assert_eq!(scratch.pentimento(&["run", "--root", &file, "hello"]).stdout, "hello\n");
    }
    // A file of a petabyte that takes a block: its holes are not stored.
    let mut header = Tar::header(EntryType::GNUSparse, 512);
    header.set_path("bin/sparse").unwrap();
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(1 << 50);
    gnu.sparse[0].set_offset(1 << 40);
    gnu.sparse[0].set_length(512);
    header.set_cksum();
    let mut tar = Tar::new().file("bin/hello", &saying("hello"));
    tar.0.append(&header, &[7; 512][..]).unwrap();
    scratch.write("sparse.tar", &tar.bytes());
    assert_eq!(scratch.pentimento(&["run", "--root", "sparse.tar", "hello"]).stdout, "hello\n");
}

#[test]
fn random_damage_never_panics() {
    let scratch = Scratch::new();
    let (image, plain) = (layers(), root());
    let originals =
        [plain.clone(), gzip(&plain), xz(&plain), zstd(&plain), image.docker(), tar_of(&image.layout(gzip))];
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for round in 0..60 {
        let mut bytes = originals[round % originals.len()].clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            bytes[at] = random(256) as u8;
        }
        if random(3) == 0 {
            bytes.truncate(random(bytes.len()));
        }
        scratch.write("damaged", &bytes);
        let said = scratch.pentimento(&["run", "--limit", "1M", "--root", "damaged", "/bin/hello"]);
        // Damage may lie in the program itself, or in what nobody looks at.
        assert!(
            !said.stderr.contains("panicked") && said.code.is_some_and(|code| code != 101),
            "{round}: {said:?}"
        );
    }
}
