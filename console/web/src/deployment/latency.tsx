/** Latency and requests by revision. */

import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { fetchPast } from "../api";
import type { Colors } from "../colors";
import type { Deployment, Point, PointRevision, RolloutArm } from "../contract";
import { formatLatency, formatNumber, formatRate } from "../format";
import { type Column, listRevisions, listTimes } from "../history";
import { Legend, Plot, describeAxis, describeTimeAxis } from "../plot";

const MOST_LINES = 4;

interface CurvesProps {
  deployment: Deployment;
  /** Of the last hour. */
  points: Point[];
}

/** Latency and requests, of the last hour or, where a Prometheus has them, of longer. */
export function Curves({ deployment, points }: CurvesProps) {
  const { namespace, name, rollout } = deployment;
  const [hours, setHours] = useState(1);
  const [past, setPast] = useState<Point[] | null>(null);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    setPast(null);
    setFailure("");
    if (hours === 1) return;
    let ended = false;
    fetchPast(namespace, name, hours).then(
      (found) => !ended && setPast(found),
      (error: Error) => !ended && setFailure(error.message),
    );
    return () => {
      ended = true;
    };
  }, [namespace, name, hours]);
  const shown = hours === 1 ? points : (past ?? []);
  const span = SPANS.find(([each]) => each === hours)?.[1] ?? "";
  return (
    <>
      {deployment.past && (
        <p class="wide span">
          <label for="span">Latency and requests of</label>{" "}
          <select id="span" value={hours} onChange={(event) => setHours(Number(event.currentTarget.value))}>
            {SPANS.map(([each, title]) => (
              <option key={each} value={each}>
                {title}
              </option>
            ))}
          </select>
          {hours !== 1 && past === null && failure === "" && <span class="muted"> Loads …</span>}
        </p>
      )}
      {failure !== "" && (
        <p role="alert" class="failure wide">
          {failure}
        </p>
      )}
      <Latency points={shown} arms={rollout} span={span} />
      <Requests points={shown} arms={rollout} span={span} />
    </>
  );
}

const SPANS: [number, string][] = [
  [1, "the last hour"],
  [6, "the last 6 hours"],
  [24, "the last day"],
  [168, "the last 7 days"],
  [720, "the last 30 days"],
];

interface SpanProps {
  points: Point[];
  arms: RolloutArm[];
  span: string;
}

/** The revisions that points name, and how each is drawn. */
function useRevisions(points: Point[], arms: RolloutArm[]): { revisions: number[]; kinds: string[]; key: string } {
  const revisions = useMemo(() => listRevisions(points, MOST_LINES), [points]);
  const names = revisions.join(" ");
  const canaries = arms.map((each) => each.canary).filter((each) => each !== null).join(" ");
  const stables = arms.map((each) => each.stable).filter((each) => each !== null).join(" ");
  const kinds = useMemo(() => chooseKinds(names, stables, canaries), [names, stables, canaries]);
  return { revisions, kinds, key: `${names}/${kinds.join()}` };
}

function Latency({ points, arms, span }: SpanProps) {
  const { revisions, kinds, key } = useRevisions(points, arms);
  return (
    <section class="card" aria-labelledby="latency-title">
      <h2 id="latency-title">Latency by revision</h2>
      {points.length > 1 && revisions.length > 0 ? (
        <LatencyPlot key={key} points={points} revisions={revisions} kinds={kinds} span={span} />
      ) : (
        <p class="muted">No request has been measured in {span}.</p>
      )}
    </section>
  );
}

function Requests({ points, arms, span }: SpanProps) {
  const { revisions, kinds, key } = useRevisions(points, arms);
  return (
    <section class="card" aria-labelledby="requests-title">
      <h2 id="requests-title">Requests by revision</h2>
      {points.length > 1 && revisions.length > 0 ? (
        <RequestsPlot key={key} points={points} revisions={revisions} kinds={kinds} span={span} />
      ) : (
        <p class="muted">No request has been counted in {span}.</p>
      )}
    </section>
  );
}

/** How each revision is drawn: as stable, as canary, or as one of the others. */
export function chooseKinds(revisions: string, stables: string, canaries: string): string[] {
  const split = (text: string): string[] => text.split(" ").filter(Boolean);
  let others = 0;
  return split(revisions).map((each) => {
    if (split(canaries).includes(each)) return "canary";
    if (each === split(stables)[0]) return "stable";
    return `other-${(others++ % 3) + 1}`;
  });
}

interface PlotProps {
  points: Point[];
  revisions: number[];
  kinds: string[];
  span: string;
}

/** The curves of one figure of each revision. */
function readFigure(points: Point[], revision: number, field: keyof PointRevision): Column {
  return points.map((each) => each.revisions[String(revision)]?.[field] ?? null);
}

function RequestsPlot({ points, revisions, kinds, span }: PlotProps) {
  const data = useMemo(
    () => [listTimes(points), ...revisions.map((each) => readFigure(points, each, "requestsPerSecond"))],
    [points, revisions],
  );
  const describe = useCallback((colors: Colors) => describePlot(colors, kinds, false, "/s"), [kinds]);
  const last = points.at(-1)?.revisions ?? {};
  const said = revisions
    .map((each) => `r${each} ${formatRate(formatNumber(last[String(each)]?.requestsPerSecond), "s")}`)
    .join(", ");
  const legend = revisions.map((each, index) => ({ kind: `line ${kinds[index]}`, text: `r${each} requests/s` }));
  return (
    <>
      <p class="small">Requests now: {said}</p>
      <Plot label={`Requests per second of ${span}. Now: ${said}`} data={data as never} describe={describe} />
      <Legend items={legend} />
    </>
  );
}

function LatencyPlot({ points, revisions, kinds, span }: PlotProps) {
  const data = useMemo(() => {
    const curves = revisions.flatMap((each) => [readFigure(points, each, "ttftP90"), readFigure(points, each, "ttftP50")]);
    return [listTimes(points), ...curves];
  }, [points, revisions]);
  const describe = useCallback((colors: Colors) => describePlot(colors, kinds, true, " s"), [kinds]);
  const last = points.at(-1)?.revisions ?? {};
  const said = revisions.map((each) => `r${each} ${formatLatency(last[String(each)]?.ttftP90)}`).join(", ");
  const legend = revisions.flatMap((each, index) => [
    { kind: `line ${kinds[index]}`, text: `r${each} TTFT p90` },
    { kind: `dashes ${kinds[index]}`, text: `r${each} TTFT p50` },
  ]);
  return (
    <>
      <p class="small">TTFT p90 now: {said}</p>
      <Plot label={`Time to first token of ${span}. p90 now: ${said}`} data={data as never} describe={describe} />
      <Legend items={legend} />
    </>
  );
}

function pickColor(colors: Colors, kind: string): string {
  if (kind === "canary") return colors.canary;
  if (kind === "stable") return colors.stable;
  return colors.others[Number(kind.slice(-1)) - 1] ?? colors.muted;
}

/** A line for each revision, and with `pairs` a thinner one of dashes beside it. */
function describePlot(colors: Colors, kinds: string[], pairs: boolean, unit: string) {
  return {
    legend: { show: false },
    cursor: { show: true, y: false, drag: { x: false, y: false } },
    scales: { y: { range: (_: unknown, __: number, most: number): [number, number] => [0, (most || 1) * 1.1] } },
    axes: [
      describeTimeAxis(colors),
      describeAxis(colors, { size: 52, values: (_: unknown, ticks: number[]) => ticks.map((each) => `${formatNumber(each, 2)}${unit}`) }),
    ],
    series: [
      {},
      ...kinds.flatMap((kind) => {
        const line = { stroke: pickColor(colors, kind), points: { show: false } };
        const solid = { ...line, width: 2 };
        return pairs ? [solid, { ...line, width: 1.5, dash: [4, 4] }] : [solid];
      }),
    ],
  };
}
