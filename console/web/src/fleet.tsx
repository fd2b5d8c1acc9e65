/** The first page: one row for each model. */

import { memo } from "preact/compat";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ServerError, fetchFleet } from "./api";
import type { Fleet, FleetItem } from "./contract";
import { formatCount, formatLatency, formatMoney, formatNumber, formatRate } from "./format";
import { useHeading, usePolling } from "./hooks";
import { linkToDeployment } from "./route";
import { drawSpark } from "./spark";
import { State } from "./state";
import { TrafficBar } from "./traffic";

const REFRESH_MILLISECONDS = 5000;
/** Rows added in a frame. All 200 at once take longer than a frame may on a slow machine. */
const ROWS_A_FRAME = 20;

export function FleetPage() {
  const heading = useHeading<HTMLHeadingElement>("Fleet");
  const [fleet, setFleet] = useState<Fleet | null>(null);
  const [failure, setFailure] = useState("");
  const [search, setSearch] = useState("");
  const load = useCallback(async () => {
    try {
      const next = await fetchFleet();
      setFleet((last) => ({ ...next, items: keepEqual(last?.items ?? [], next.items) }));
      setFailure("");
    } catch (error) {
      setFailure(error instanceof ServerError ? error.message : String(error));
    }
  }, []);
  usePolling(load, REFRESH_MILLISECONDS);
  const items = (fleet?.items ?? []).filter((each) => matches(each, search));
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>
        Fleet
      </h1>
      <p class="sentence" aria-live="polite">
        {failure || (fleet === null ? "Loads …" : summarize(fleet.items))}
      </p>
      {fleet !== null && fleet.items.length === 0 && <Empty />}
      {fleet !== null && fleet.items.length > 0 && (
        <>
          {fleet.items.length > 8 && (
            <label class="search">
              Show only{" "}
              <input
                type="search"
                value={search}
                placeholder="name, namespace or state"
                onInput={(event) => setSearch(event.currentTarget.value)}
              />
            </label>
          )}
          <FleetTable items={items} />
        </>
      )}
    </>
  );
}

/** The new rows; where one says the same as before, the old one, so that it is not rendered again. */
function keepEqual(last: FleetItem[], next: FleetItem[]): FleetItem[] {
  const known = new Map(last.map((each) => [`${each.namespace}/${each.name}`, each]));
  return next.map((each) => {
    const old = known.get(`${each.namespace}/${each.name}`);
    return old !== undefined && JSON.stringify(old) === JSON.stringify(each) ? old : each;
  });
}

function matches(item: FleetItem, search: string): boolean {
  const text = `${item.namespace}/${item.name} ${item.state}`.toLowerCase();
  return text.includes(search.trim().toLowerCase());
}

/** The fleet in one sentence: how many models there are, and how many need a person. */
function summarize(items: FleetItem[]): string {
  if (items.length === 0) return "No model is served yet.";
  const count = (...states: string[]) => items.filter((each) => states.includes(each.state)).length;
  const said = [
    `${formatCount(items.length, "model")}.`,
    `${count("Ready")} ready`,
    `${count("Progressing")} in progress`,
    `${count("Paused")} paused`,
    `${count("Degraded", "Refused")} in need of help`,
  ];
  return `${said[0]} ${said.slice(1).join(", ")}.`;
}

function Empty() {
  return (
    <section class="card empty" aria-labelledby="empty-title">
      <h2 id="empty-title">Serve the first model</h2>
      <p>Write a file with an LLMDeployment, and apply it. Its row appears here.</p>
      <pre tabIndex={0}>{`kubectl apply -n default -f - <<'EOF'
apiVersion: llmdeployment.dev/v1alpha1
kind: LLMDeployment
metadata:
  name: chat
spec:
  model:
    source: hf://HuggingFaceTB/SmolLM2-135M-Instruct
EOF`}</pre>
      <p>
        Nothing appears? <code>kubectl get llm --all-namespaces</code> shows what the cluster has, and{" "}
        <code>kubectl llm status NAME</code> says what it waits for.
      </p>
    </section>
  );
}

function FleetTable({ items }: { items: FleetItem[] }) {
  const shown = useGradually(items.length);
  return (
    <div class="scroll">
      <table class="fleet" role="table">
        <thead role="rowgroup">
          <tr role="row">
            {["Model", "State", "Traffic", "Replicas", "Accelerators", "TTFT p90", "Requests", "Cost"].map((title) => (
              <th key={title} role="columnheader" scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {items.slice(0, shown).map((item) => (
            <FleetRow key={`${item.namespace}/${item.name}`} item={item} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** How many of `count` rows to show: some more in each frame. */
function useGradually(count: number): number {
  const [shown, setShown] = useState(ROWS_A_FRAME);
  const frame = useRef(0);
  useEffect(() => {
    if (shown >= count) return;
    frame.current = requestAnimationFrame(() => setShown(shown + ROWS_A_FRAME));
    return () => cancelAnimationFrame(frame.current);
  }, [shown, count]);
  return shown;
}

const FleetRow = memo(({ item }: { item: FleetItem }) => (
  <tr role="row">
    <th role="rowheader" scope="row" class="model">
      <a href={linkToDeployment(item.namespace, item.name)}>
        <span class="muted">{item.namespace}/</span>
        <b>{item.name}</b>
      </a>
      <span class="row-sentence">{item.sentence}</span>
    </th>
    <td role="cell" data-label="State">
      <State state={item.state} />
    </td>
    <td role="cell" data-label="Traffic">
      <TrafficBar arms={item.arms} />
    </td>
    <td role="cell" data-label="Replicas">
      <span class={item.replicas.ready < item.replicas.desired ? "short" : ""}>
        {item.replicas.ready}/{item.replicas.desired}
        {item.replicas.ready < item.replicas.desired && <span class="hidden"> ready, some are missing</span>}
      </span>
    </td>
    <td role="cell" data-label="Accelerators">
      {formatNumber(item.accelerators, 0)}
    </td>
    <td role="cell" data-label="TTFT p90" class="latency">
      <span class="number">{formatLatency(item.ttftP90)}</span>
      <svg class="spark" viewBox="0 -2 100 24" preserveAspectRatio="none" aria-hidden="true">
        <path d={drawSpark(item.spark, 100, 20)} />
      </svg>
    </td>
    <td role="cell" data-label="Requests">
      {formatRate(formatNumber(item.requestsPerSecond), "s")}
    </td>
    <td role="cell" data-label="Cost">
      {formatRate(formatMoney(item.costPerHour?.amount, item.costPerHour?.currency), "h")}
    </td>
  </tr>
));
