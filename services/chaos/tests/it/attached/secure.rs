//! Apache Kafka that wants TLS and SASL, on either side of a link.

use super::scene::{PATIENCE, Process, committed, orders, start_farshore, tail};
use crate::cluster::binary;
use chaos::kafka::{Extras, Kafka};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use wire::api::create_acls;
use wire::client::{Cluster, GroupOffset, Options};

const USER: &str = "link";
const PASSWORD: &str = "pencil of the link";
const PARTITIONS: i32 = 2;
/// How long the broker takes a connection for somebody's, milliseconds: some sessions long.
const SESSION_MS: u64 = 2000;

/// Its listeners, in the order of their ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    Plain = 0,
    /// TLS, and any mechanism.
    Secure = 2,
    /// TLS with a certificate of the client.
    Mutual = 3,
    /// SCRAM-SHA-256 alone, in plain text.
    Bare = 4,
}

/// How many groups there are.
pub(super) const USUAL_GROUPS: i64 = 5;

/// The Kafka, a Farshore, and links both ways.
pub(super) struct Scene {
    pub(super) runtime: Runtime,
    pub(super) directory: PathBuf,
    kafka: Kafka,
    /// The Kafka, at its plain listener.
    pub(super) plain: Cluster,
    _farshore: Process,
    pub(super) middle: String,
    /// How far all groups have moved.
    moved: Cell<i64>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _best_effort = fs::remove_dir_all(&self.directory);
    }
}

impl Scene {
    pub(super) fn start() -> Self {
        static SCENES: AtomicU32 = AtomicU32::new(0);
        let name = format!("secure-{}-{}", std::process::id(), SCENES.fetch_add(1, Ordering::Relaxed));
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        make_certificates(&directory);
        fs::write(directory.join("password"), format!("{PASSWORD}\n")).unwrap();
        fs::write(directory.join("wrong-password"), "not it").unwrap();
        let extras = |port| Extras { properties: properties(&directory, port), users: users() };
        let kafka = Kafka::start_with(directory.join("kafka"), 3, extras).unwrap_or_else(|error| panic!("{error}"));
        let (farshore, middle) = start_farshore(&directory.join("farshore"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let plain = Cluster::new(&kafka.bootstrap(), Options::default());
        runtime.block_on(plain.create_topic("orders", PARTITIONS, 1, &[])).unwrap();
        Self { runtime, directory, kafka, plain, _farshore: farshore, middle, moved: Cell::new(0) }
    }

    pub(super) fn at(&self, listener: Listener) -> String {
        format!("127.0.0.1:{}", self.kafka.port() + listener as u16)
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    pub(super) fn write(&self, batches: std::ops::Range<u64>) {
        self.runtime.block_on(async {
            for (batch, partition) in batches.flat_map(|batch| (0..PARTITIONS).map(move |at| (batch, at))) {
                self.plain.produce("orders", partition, orders(batch, partition).into(), -1).await.unwrap();
            }
        });
    }

    pub(super) fn commit_groups(&self) {
        for group in 0..USUAL_GROUPS {
            let seat = |partition| GroupOffset {
                topic: "orders".into(),
                partition,
                offset: group * 3 + i64::from(partition) + self.moved.get(),
                leader_epoch: -1,
                metadata: String::new(),
            };
            let seats: Vec<_> = (0..PARTITIONS).map(seat).collect();
            self.runtime.block_on(self.plain.commit(&format!("group-{group}"), &seats)).unwrap();
        }
    }

    /// Every group goes on a little, and back again with a negative number.
    pub(super) fn move_groups(&self, by: i64) {
        self.moved.set(self.moved.get() + by);
        self.commit_groups();
    }

    /// From the Kafka to Farshore; each `{file}` stands for the path of a file.
    pub(super) fn inward(&self, listener: Listener, options: &str) -> Command {
        self.link("--source", &self.at(listener), "--target", &self.middle.clone(), options, "inward")
    }

    /// Back to it, under other names.
    pub(super) fn outward(&self, listener: Listener, options: &str) -> Command {
        self.link("--target", &self.at(listener), "--source", &self.middle.clone(), options, "outward")
    }

    fn link(&self, ours: &str, kafka: &str, theirs: &str, middle: &str, options: &str, name: &str) -> Command {
        let mut command = Command::new(binary());
        command.args(["attach", ours, kafka, theirs, middle, "--data-dir"]);
        command.arg(self.directory.join(name)).env("FARSHORE_TARGET_PASSWORD", PASSWORD).stdin(Stdio::null());
        let words = options.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(file) => self.file(file),
            None => word.to_owned(),
        });
        command.args(words);
        command
    }

    /// The link's user may not touch the topics in which links keep what they know.
    pub(super) fn forbid_topics_of_links(&self) {
        let denied = create_acls::Creation {
            resource_type: 2,
            resource_name: "farshore.".into(),
            resource_pattern_type: 4,
            principal: format!("User:{USER}"),
            host: "*".into(),
            operation: 2,
            permission_type: 2,
            ..Default::default()
        };
        let request = create_acls::Request { creations: vec![denied], ..Default::default() };
        let answer = self.runtime.block_on(self.plain.call_any(&request)).unwrap();
        assert!(answer.results.iter().all(|result| result.error_code.is_ok()), "{answer:?}");
    }

    /// Everything in the topic is in Farshore, once and in order, and so are the groups.
    pub(super) fn everything_has_arrived(&self) {
        let target = Cluster::new(&self.middle, Options::default());
        for partition in 0..PARTITIONS {
            let values = |at: &str| committed(at, "orders", partition).into_iter().map(|seen| seen.value).collect();
            let (truth, found): (Vec<_>, Vec<_>) = (values(&self.kafka.bootstrap()), values(&self.middle));
            assert!(!truth.is_empty());
            assert_eq!(found, truth, "partition {partition}");
        }
        for group in 0..USUAL_GROUPS {
            let found = self.runtime.block_on(target.committed(&format!("group-{group}"))).unwrap();
            let mut offsets: Vec<_> = found.iter().map(|found| (found.partition, found.offset)).collect();
            offsets.sort_unstable();
            let moved = self.moved.get();
            assert_eq!(offsets, [(0, group * 3 + moved), (1, group * 3 + 1 + moved)], "group-{group}");
        }
    }

    /// Lets a link to the Kafka follow for some sessions while records come. A session that ended under a batch would be told.
    pub(super) fn follow_for_some_sessions(&self, mut link: Command) {
        let log = fs::File::create(self.directory.join("follow.log")).unwrap();
        let mut running = Process(link.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let middle = Cluster::new(&self.middle, Options::default());
        let (start, mut batch) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(4 * SESSION_MS) {
            self.runtime.block_on(middle.produce("answers", 0, orders(batch, 0).into(), -1)).unwrap();
            batch += 1;
            self.wait_for_the_end(&middle, &mut running);
        }
        drop(running);
        let told = fs::read_to_string(self.directory.join("follow.log")).unwrap();
        assert!(!told.contains("WARN") && !told.contains("ERROR"), "a session was noticed: {told}");
    }

    fn wait_for_the_end(&self, middle: &Cluster, running: &mut Process) {
        let deadline = Instant::now() + PATIENCE;
        let end = self.runtime.block_on(tail(middle, "answers", 0));
        let is_there = || {
            let known = self.runtime.block_on(self.plain.metadata(Some(&["answers"]))).unwrap();
            let is_made = known.topics.iter().any(|topic| !topic.partitions.is_empty());
            is_made && self.runtime.block_on(tail(&self.plain, "answers", 0)) >= end
        };
        while !is_there() {
            let told = || fs::read_to_string(self.directory.join("follow.log")).unwrap_or_default();
            assert!(running.0.try_wait().unwrap().is_none() && Instant::now() < deadline, "{}", told());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// A topic of Farshore that the Kafka gets.
    pub(super) fn write_answers(&self, batches: u64) {
        let middle = Cluster::new(&self.middle, Options::default());
        self.runtime.block_on(async {
            middle.create_topic("answers", 1, 1, &[]).await.unwrap();
            for batch in 0..batches {
                middle.produce("answers", 0, orders(batch, 0).into(), -1).await.unwrap();
            }
        });
    }

    pub(super) fn answers_have_arrived(&self) {
        let values = |at: &str| committed(at, "answers", 0).into_iter().map(|seen| seen.value).collect();
        let (truth, found): (Vec<_>, Vec<_>) = (values(&self.middle), values(&self.kafka.bootstrap()));
        assert!(!truth.is_empty());
        assert_eq!(found, truth);
    }
}

/// What a link told that succeeded.
pub(super) fn succeeds(link: Command) -> String {
    let ran = ran(&link);
    let told = told(&ran);
    assert!(ran.status.success() && !told.contains(PASSWORD), "{told}");
    told
}

/// What a link told that refused to go on, the password not included.
pub(super) fn refusal(link: Command) -> String {
    let ran = ran(&link);
    let told = told(&ran);
    println!("{}", told.lines().last().unwrap_or_default());
    assert_eq!(ran.status.code(), Some(1), "{told}");
    assert!(!told.contains(PASSWORD) && !told.contains("has not succeeded in"), "{told}");
    told
}

fn ran(link: &Command) -> Output {
    let mut bounded = Command::new("timeout");
    bounded.arg("90").arg(link.get_program()).args(link.get_args());
    bounded.output().unwrap()
}

fn told(ran: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

/// An authority, a certificate of a broker on 127.0.0.1 and one of a client; and an authority that signed neither.
fn make_certificates(directory: &Path) {
    let authority = || {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, other) = (authority(), authority());
    let write = |name: &str, text: String| fs::write(directory.join(name), text).unwrap();
    write("ca.pem", ours.pem());
    write("other-ca.pem", other.pem());
    for (name, of) in [("broker", "127.0.0.1"), ("client", "farshore-link")] {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![of.to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
        write(&format!("{name}.key"), key.serialize_pem());
        write(&format!("{name}.crt"), certificate.pem());
        write(&format!("{name}.pem"), key.serialize_pem() + &certificate.pem());
    }
}

fn users() -> String {
    let of = |hash: &str| format!("SCRAM-SHA-{hash}=[name={USER},password={PASSWORD}]\n");
    of("256") + &of("512")
}

fn properties(directory: &Path, port: u16) -> String {
    let at = |name: &str| directory.join(name).display().to_string();
    let [secure, mutual, bare] = [2, 3, 4].map(|more| port + more);
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let plain = format!("org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";");
    let addresses = format!("SECURE://127.0.0.1:{secure},MUTUAL://127.0.0.1:{mutual},BARE://127.0.0.1:{bare}");
    format!(
        "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},{addresses}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port},{addresses}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL,\
         BARE:SASL_PLAINTEXT\n\
         ssl.keystore.type=PEM\nssl.keystore.location={broker}\nssl.truststore.type=PEM\nssl.truststore.location={ca}\n\
         listener.name.mutual.ssl.client.auth=required\n\
         listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
         listener.name.secure.plain.sasl.jaas.config={plain}\n\
         listener.name.secure.scram-sha-256.sasl.jaas.config={scram}\n\
         listener.name.secure.scram-sha-512.sasl.jaas.config={scram}\n\
         listener.name.bare.sasl.enabled.mechanisms=SCRAM-SHA-256\n\
         listener.name.bare.scram-sha-256.sasl.jaas.config={scram}\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\nallow.everyone.if.no.acl.found=true\n\
         connections.max.reauth.ms={SESSION_MS}\noffsets.topic.num.partitions=2",
        controller = port + 1,
        broker = at("broker.pem"),
        ca = at("ca.pem"),
    )
}
