"use strict";
// Everything the API says is put into the page as text, never as markup.
const REFRESH_MS = 2000;
const SHOWN = 20;
const tone = {
  ok: "good", healthy: "good", succeeded: "good", completed: "good", caught_up: "good", fetching: "good",
  degraded: "warn", suspect: "warn", recovering: "warn", unknown: "warn", running: "warn", paused: "warn",
  unwinding: "warn", rolled_back: "warn", archiving: "warn", sealed: "warn",
  failing: "bad", failed: "bad", stuck: "bad", disconnected: "bad", unreachable: "bad",
};

const byId = (id) => document.getElementById(id);
const words = (text) => String(text).replaceAll("_", " ");
const state = (text) => ({ text: words(text), tone: tone[text] || "" });
const link = (text, href) => ({ text, href });
const time = (at) => (at ? new Date(at).toLocaleString() : "–");
const seconds = (ms) => (ms < 60000 ? (ms / 1000).toFixed(1) + " s" : Math.round(ms / 60000) + " min");
const number = (value) => Number(value).toLocaleString();
function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) { value /= 1024; at += 1; }
  return (at ? value.toFixed(1) : value) + " " + units[at];
}

function cell(value) {
  const td = document.createElement("td");
  const shown = value === null || value === undefined || value === "" ? { text: "–" } : value;
  const part = typeof shown === "object" ? shown : { text: shown };
  const target = part.href ? td.appendChild(document.createElement("a")) : td;
  if (part.href) target.href = part.href;
  if (part.tone) target.className = part.tone;
  target.textContent = part.text;
  return td;
}

function fill(id, rows) {
  const body = byId(id);
  const columns = body.parentElement.tHead.rows[0].cells.length;
  body.replaceChildren();
  for (const row of rows) {
    const tr = body.appendChild(document.createElement("tr"));
    row.forEach((value) => tr.appendChild(cell(value)));
  }
  if (rows.length === 0) {
    const none = body.appendChild(document.createElement("tr")).appendChild(cell("none"));
    none.className = "none";
    none.colSpan = columns;
  }
}

async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(path + ": " + answer.status);
  return answer.json();
}

function showHealth(health) {
  const status = byId("status");
  status.textContent = health.status;
  status.className = "badge " + (tone[health.status] || "");
  byId("node").textContent = health.node;
  const findings = byId("findings");
  findings.hidden = health.findings.length === 0;
  findings.replaceChildren();
  for (const finding of health.findings) {
    const line = findings.appendChild(document.createElement("p"));
    line.className = tone[finding.status] || "";
    line.textContent = finding.subject + ": " + finding.detail;
  }
}

function showGroups(groups, health) {
  const known = Object.fromEntries(health.groups.map((group) => [group.name, group]));
  fill("groups", groups.items.map((group) => {
    const seen = known[group.name] || {};
    const lag = seen.lag_seconds === undefined ? null
      : { text: seen.lag_seconds.toFixed(1) + " s", tone: seen.rpo_met ? "good" : "bad" };
    const automatic = group.automation_blocked ? { text: "blocked", tone: "warn" }
      : group.automatic_failover ? "on" : "off";
    return [link(group.name, "/v1/protection-groups/" + group.name),
      { text: group.owner, tone: seen.writable ? "good" : "bad" }, group.ownership_epoch,
      (seen.ready_standbys || []).join(", "), lag, automatic,
      group.run ? link(group.run, "/v1/runs/" + group.run) : null];
  }));
}

async function refresh() {
  const [health, regions, groups, links, topics, runs, backups] = await Promise.all(
    ["/v1/health", "/v1/regions", "/v1/protection-groups", "/v1/links", "/v1/topics?limit=" + SHOWN,
      "/v1/runs?limit=" + SHOWN, "/v1/backups?limit=" + SHOWN].map(ask));
  showHealth(health);
  showGroups(groups, health);
  fill("regions", regions.items.map((region) => [link(region.name, "/v1/regions/" + region.name), state(region.state),
    region.health_score === undefined ? null : region.health_score.toFixed(0), words(region.council.role),
    number(region.partitions), bytes(region.size_bytes), region.addresses.clients]));
  fill("links", links.items.map((item) => [item.name, state(item.state), number(item.lag_records),
    bytes(item.lag_bytes), item.lag_seconds.toFixed(1)]));
  fill("topics", topics.items.filter((topic) => !topic.name.startsWith("__")).map((topic) => [
    link(topic.name, "/v1/topics/" + topic.name), topic.partitions, topic.group, topic.owner]));
  fill("runs", runs.items.map((run) => [link(run.id, "/v1/runs/" + run.id), run.kind, run.source, run.target,
    state(run.state), time(run.started_at), seconds(run.duration_ms)]));
  fill("backups", backups.items.map((backup) => [link(backup.id, "/v1/backups/" + backup.id), backup.group,
    state(backup.state), time(backup.started_at), backup.summary ? number(backup.summary.records) : null,
    backup.summary ? bytes(backup.summary.bytes) : null]));
}

async function keepFresh() {
  const freshness = byId("freshness");
  try {
    await refresh();
    freshness.textContent = "as of " + new Date().toLocaleTimeString();
    freshness.className = "";
  } catch (error) {
    freshness.textContent = "no answer (" + error.message + "); asking again";
    freshness.className = "bad";
  }
  setTimeout(keepFresh, document.hidden ? 5 * REFRESH_MS : REFRESH_MS);
}
keepFresh();
