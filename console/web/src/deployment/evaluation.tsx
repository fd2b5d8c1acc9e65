/** The golden set: how stable revision and canary answered it, and which questions changed. */

import type { Evaluation, Evaluations } from "../contract";
import { formatAgo, formatNumber } from "../format";

export function GoldenSet({ evaluations, now }: { evaluations: Evaluations; now: number }) {
  const { stable, canary } = evaluations;
  return (
    <section class="card" aria-labelledby="golden-title">
      <h2 id="golden-title">Golden set</h2>
      <div class="pair">
        {stable && <Score title="Stable" evaluation={stable} now={now} />}
        {canary && <Score title="Canary" evaluation={canary} now={now} />}
      </div>
      {canary && <Changed evaluation={canary} />}
    </section>
  );
}

function Score({ title, evaluation, now }: { title: string; evaluation: Evaluation; now: number }) {
  const { score, passed, total, revision } = evaluation;
  return (
    <div>
      <h3>
        {title}
        {revision ? ` r${revision}` : ""}
      </h3>
      <p class="big">{score === null || score === undefined ? "no result" : `${score} %`}</p>
      <p class="muted small">
        {formatNumber(passed, 0)} of {formatNumber(total, 0)} as expected, {formatAgo(evaluation.at, now)}
      </p>
      {evaluation.message && <p class="small">{evaluation.message}</p>}
    </div>
  );
}

function Changed({ evaluation }: { evaluation: Evaluation }) {
  const comparison = evaluation.comparison;
  const lost = comparison?.questions ?? [];
  const failed = (evaluation.wrong ?? []).map((each) => each.id).filter((id) => !lost.includes(id));
  return (
    <>
      {comparison && (
        <p>
          Against r{comparison.revision}: {formatNumber(comparison.lost, 0)} lost, {formatNumber(comparison.won, 0)} won.{" "}
          {comparison.message}
        </p>
      )}
      <Questions title="Right before, wrong now" names={lost} kind="lost" />
      <Questions title="Also wrong" names={failed} kind="failed" />
    </>
  );
}

function Questions({ title, names, kind }: { title: string; names: string[]; kind: string }) {
  if (names.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul class={`questions ${kind}`}>
        {names.map((each) => (
          <li key={each}>{each}</li>
        ))}
      </ul>
    </>
  );
}
