/** What another target or another number of replicas would have made of the last hour's traffic. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { simulate } from "./api";
import type { Colors } from "./colors";
import type { WhatIf, WhatIfChoice, WhatIfRun } from "./contract";
import { MISSING, formatLatency, formatMoney, formatNumber, formatRate, formatShare } from "./format";
import { useHeading } from "./hooks";
import { Legend, Plot, describeAxis, describeTimeAxis } from "./plot";

export function WhatIfPage({ namespace, name }: { namespace: string; name: string }) {
  const heading = useHeading<HTMLHeadingElement>(`What if: ${namespace}/${name}`);
  const [found, setFound] = useState<WhatIf | null>(null);
  const [failure, setFailure] = useState("");
  const [busy, setBusy] = useState(false);
  const run = (choice: WhatIfChoice | null): void => {
    setBusy(true);
    simulate(namespace, name, choice)
      .then(
        (result) => {
          setFound(result);
          setFailure("");
        },
        (error: Error) => setFailure(error.message),
      )
      .finally(() => setBusy(false));
  };
  useEffect(() => run(null), [namespace, name]);
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>
        What if: <span class="muted">{namespace}/</span>
        {name}
      </h1>
      <p class="sentence">The traffic of the last hour, simulated with another target or other replicas. Nothing is changed in the cluster.</p>
      <p class="hidden" role="status">
        {busy ? "Simulates." : found !== null ? "The simulation has ended." : ""}
      </p>
      {failure !== "" && (
        <p role="alert" class="failure">
          {failure}
        </p>
      )}
      {found === null && busy && <p>Simulates …</p>}
      {found !== null && <Sliders found={found} busy={busy} run={run} />}
      {found !== null && <Outcome found={found} />}
    </>
  );
}

function Sliders({ found, busy, run }: { found: WhatIf; busy: boolean; run: (choice: WhatIfChoice) => void }) {
  const { choice, steps, mostReplicas } = found;
  const [milliseconds, setMilliseconds] = useState(choice.milliseconds);
  const [minimum, setMinimum] = useState(choice.minimum);
  const [maximum, setMaximum] = useState(choice.maximum);
  const [profile, setProfile] = useState("");
  const [wrong, setWrong] = useState("");
  const submit = (event: Event): void => {
    event.preventDefault();
    if (busy) return;
    try {
      const own = profile.trim() === "" ? {} : { profile: readProfile(profile) };
      setWrong("");
      run({ milliseconds, minimum, maximum, ...own });
    } catch {
      setWrong("The profile is not JSON. Paste what bench/profile_engine.py wrote.");
    }
  };
  return (
    <form class="card what-if" onSubmit={submit}>
      <Slider
        id="target"
        label={`Target on ${choice.metric} p${choice.percentile}`}
        text={formatLatency(milliseconds / 1000)}
        most={steps.length - 1}
        least={0}
        value={steps.indexOf(milliseconds)}
        change={(index) => setMilliseconds(steps[index] ?? milliseconds)}
      />
      <Slider
        id="minimum"
        label="Replicas at least"
        text={String(minimum)}
        least={1}
        most={mostReplicas}
        value={minimum}
        change={(value) => {
          setMinimum(value);
          setMaximum(Math.max(value, maximum));
        }}
      />
      <Slider
        id="maximum"
        label="Replicas at most"
        text={String(maximum)}
        least={1}
        most={mostReplicas}
        value={maximum}
        change={(value) => {
          setMaximum(value);
          setMinimum(Math.min(value, minimum));
        }}
      />
      <details>
        <summary>Profile of the engine</summary>
        <label for="profile">JSON of bench/profile_engine.py</label>
        <textarea id="profile" rows={4} value={profile} onInput={(event) => setProfile(event.currentTarget.value)} />
      </details>
      {wrong !== "" && (
        <p role="alert" class="failure">
          {wrong}
        </p>
      )}
      <p class="buttons">
        <button type="submit" class="primary" aria-disabled={busy}>
          Simulate
        </button>
      </p>
    </form>
  );
}

/** A profile alone, or the document that has one. */
function readProfile(text: string): unknown {
  const found = JSON.parse(text) as { profile?: unknown };
  return found.profile ?? found;
}

interface SliderProps {
  id: string;
  label: string;
  text: string;
  least: number;
  most: number;
  value: number;
  change: (value: number) => void;
}

function Slider({ id, label, text, least, most, value, change }: SliderProps) {
  return (
    <div class="slider">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="range"
        min={least}
        max={most}
        value={value}
        aria-valuetext={text}
        onInput={(event) => change(Number(event.currentTarget.value))}
      />
      <output for={id}>{text}</output>
    </div>
  );
}

function Outcome({ found }: { found: WhatIf }) {
  return (
    <>
      <section class="card" aria-labelledby="outcome-title">
        <h2 id="outcome-title">Result</h2>
        <Comparison now={found.now} changed={found.changed} />
      </section>
      <section class="card" aria-labelledby="replicas-title">
        <h2 id="replicas-title">Replicas and requests</h2>
        <Curves found={found} />
      </section>
      <section class="card" aria-labelledby="assumptions-title">
        <h2 id="assumptions-title">What was assumed</h2>
        <ul class="tallies">
          {found.assumptions.map((each) => (
            <li key={each}>{each}</li>
          ))}
        </ul>
      </section>
    </>
  );
}

type Cell = (run: WhatIfRun) => string;

/** The rows of the table: what they are called, and what they say of a run. */
export function listRows(now: WhatIfRun): [string, Cell][] {
  const targets = now.targets.map((each, index): [string, Cell] => [
    `Within the target on ${each.metric}`,
    (run) => {
      const target = run.targets[index];
      return target === undefined
        ? MISSING
        : `${formatShare(target.share)} within ${formatLatency(target.milliseconds / 1000)} (${formatNumber(target.percentile)} % wanted)`;
    },
  ]);
  return [
    ["Replicas allowed", (run) => (run.minimum === run.maximum ? String(run.minimum) : `${run.minimum} to ${run.maximum}`)],
    ...targets,
    ["TTFT p90", (run) => formatLatency(run.ttftP90)],
    ["Refused requests", (run) => `${formatNumber(run.failed, 0)} of ${formatNumber(run.requests, 0)}`],
    ["Replicas on average", (run) => formatNumber(run.meanReplicas, 2)],
    ["Changes of their number", (run) => formatNumber(run.decisions, 0)],
    ["Cost", (run) => formatRate(formatMoney(run.cost?.amount, run.cost?.currency), "h")],
  ];
}

function Comparison({ now, changed }: { now: WhatIfRun; changed: WhatIfRun | null }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="As it is, and what if">
      <table>
        <thead>
          <tr>
            <th scope="col">Of the hour</th>
            <th scope="col">As it is</th>
            {changed && <th scope="col">What if</th>}
          </tr>
        </thead>
        <tbody>
          {listRows(now).map(([title, say]) => (
            <tr key={title}>
              <th scope="row">{title}</th>
              <td>{say(now)}</td>
              {changed && <td>{say(changed)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Curves({ found }: { found: WhatIf }) {
  const { now, changed, begins } = found;
  const data = useMemo(() => {
    const times = now.load.map((_, index) => begins + index * now.slotSeconds);
    return [times, now.replicas, changed?.replicas ?? times.map(() => null), now.load];
  }, [now, changed, begins]);
  const said = `as it is ${formatNumber(now.meanReplicas, 1)} on average${changed ? `, what if ${formatNumber(changed.meanReplicas, 1)}` : ""}`;
  const legend = [
    { kind: "dashes ink", text: "replicas as it is" },
    ...(changed ? [{ kind: "line canary", text: "replicas what if" }] : []),
    { kind: "line stable", text: "requests/s (right)" },
  ];
  return (
    <>
      <Plot label={`Simulated replicas: ${said}`} data={data as never} describe={describePlot} height={220} />
      <Legend items={legend} />
    </>
  );
}

function describePlot(colors: Colors) {
  const fromZero = (_: unknown, __: number, most: number): [number, number] => [0, Math.max(1, most) * 1.1];
  return {
    legend: { show: false },
    cursor: { show: true, y: false, drag: { x: false, y: false } },
    scales: { y: { range: fromZero }, load: { range: fromZero } },
    axes: [
      describeTimeAxis(colors),
      describeAxis(colors, { size: 36, incrs: [1, 2, 5, 10, 20, 50, 100] }),
      describeAxis(colors, { size: 44, scale: "load", side: 1, grid: { show: false } }),
    ],
    series: [
      {},
      { stroke: colors.ink, width: 1.5, dash: [4, 4], points: { show: false } },
      { stroke: colors.canary, width: 2, points: { show: false } },
      { stroke: colors.stable, width: 1, scale: "load", points: { show: false } },
    ],
  };
}
