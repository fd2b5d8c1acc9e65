/** The golden set: how stable revision and canary answered it, and what they answer now to the questions that changed. */

import { useEffect, useState } from "preact/hooks";
import { Answers, Verdict, useAnswers } from "../answers";
import { fetchGolden, streamGolden } from "../api";
import type { Deployment, Evaluation, Evaluations, GoldenQuestion, GoldenQuestions, GoldenRow } from "../contract";
import { formatAgo, formatNumber } from "../format";

const KINDS: [GoldenRow["kind"], string, string][] = [
  ["lost", "Right before, wrong now", "lost"],
  ["won", "Wrong before, right now", "won"],
  ["wrong", "Also wrong", "failed"],
];

export function GoldenSet({ deployment, now }: { deployment: Deployment; now: number }) {
  const evaluations = deployment.evaluation;
  const [chosen, setChosen] = useState<number | null>(null);
  if (evaluations === null) return null;
  const { stable, canary } = evaluations;
  const rows = evaluations.questions ?? [];
  const row = rows.find((each) => each.number === chosen);
  return (
    <section class={row ? "card wide" : "card"} aria-labelledby="golden-title">
      <h2 id="golden-title">Golden set</h2>
      <div class="pair">
        {stable && <Score title="Stable" evaluation={stable} now={now} />}
        {canary && <Score title="Canary" evaluation={canary} now={now} />}
      </div>
      {canary?.comparison && <Comparison comparison={canary.comparison} />}
      {KINDS.map(([kind, title, style]) => (
        <Questions
          key={kind}
          title={title}
          style={style}
          rows={rows.filter((each) => each.kind === kind)}
          chosen={chosen}
          choose={(number) => setChosen(number === chosen ? null : number)}
        />
      ))}
      {row && <Question key={row.number} deployment={deployment} evaluations={evaluations} row={row} />}
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

function Comparison({ comparison }: { comparison: NonNullable<Evaluation["comparison"]> }) {
  return (
    <p>
      Against r{comparison.revision}: {formatNumber(comparison.lost, 0)} lost, {formatNumber(comparison.won, 0)} won.{" "}
      {comparison.message}
    </p>
  );
}

interface QuestionsProps {
  title: string;
  style: string;
  rows: GoldenRow[];
  chosen: number | null;
  choose: (number: number) => void;
}

function Questions({ title, style, rows, chosen, choose }: QuestionsProps) {
  if (rows.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul class={`questions ${style}`}>
        {rows.map((each) => (
          <li key={each.number}>
            <button type="button" aria-expanded={each.number === chosen} onClick={() => choose(each.number)}>
              {each.id}
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

interface QuestionProps {
  deployment: Deployment;
  evaluations: Evaluations;
  row: GoldenRow;
}

/** One question: what is on record of it, what it asks, and both revisions' answers of now. */
function Question({ deployment, evaluations, row }: QuestionProps) {
  const { namespace, name } = deployment;
  const [found, setFound] = useState<GoldenQuestions | null>(null);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    if (!evaluations.readable) return;
    fetchGolden(namespace, name).then(setFound, (error: Error) => setFailure(error.message));
  }, [namespace, name, evaluations.readable]);
  const question = found?.questions.find((each) => each.number === row.number);
  const revisions = listRevisions(evaluations);
  return (
    <div class="question" role="group" aria-label={`Question ${row.id}`}>
      <h3>{row.id}</h3>
      <p>
        On record: stable <Recorded passed={row.stable} />, canary <Recorded passed={row.canary} />.
      </p>
      {!evaluations.readable && <p class="muted">The golden set is not in a ConfigMap, so the console cannot read what it asks.</p>}
      {failure !== "" && (
        <p role="alert" class="failure">
          {failure}
        </p>
      )}
      {found?.message && <p class="muted">{found.message}</p>}
      {question && <Asked question={question} />}
      {question && revisions && <AskAgain deployment={deployment} number={row.number} revisions={revisions} />}
    </div>
  );
}

function Recorded({ passed }: { passed: boolean | null }) {
  return passed === null ? <span class="muted">not known</span> : <Verdict passed={passed} />;
}

function listRevisions({ stable, canary }: Evaluations): [number, number] | null {
  return stable?.revision && canary?.revision ? [stable.revision, canary.revision] : null;
}

function Asked({ question }: { question: GoldenQuestion }) {
  return (
    <>
      {question.messages.map((each, index) => (
        <p key={index} class="asked" tabIndex={0}>
          <span class="muted">{each.role}:</span> {each.text}
        </p>
      ))}
      <p class="small">
        Expected:{" "}
        {question.checks.map((each, index) => (
          <span key={each.kind}>
            {index > 0 && "; "}
            {each.kind} <code>{each.wanted}</code>
          </span>
        ))}
      </p>
    </>
  );
}

/** The answers of now: an evaluation keeps none. */
function AskAgain({ deployment, number, revisions }: { deployment: Deployment; number: number; revisions: [number, number] }) {
  const { namespace, name } = deployment;
  const { answers, busy, ask, stop } = useAnswers();
  const silent = revisions.find((each) => deployment.revisions.find((row) => row.number === each)?.chat === false);
  const begin = (): void =>
    ask(revisions, (revision, onText, signal) => streamGolden(namespace, name, { revision, number }, onText, signal));
  return (
    <>
      <p class="muted small">
        An evaluation keeps no answers. These are the answers of now, asked as the evaluation asks. They count in no verdict.
      </p>
      {silent !== undefined ? (
        <p>r{silent} has no replicas, so it cannot be asked.</p>
      ) : (
        <p class="buttons">
          {busy ? (
            <button key="stop" type="button" onClick={stop}>
              Stop
            </button>
          ) : (
            <button key="ask" type="button" class="primary" onClick={begin}>
              Ask r{revisions[0]} and r{revisions[1]}
            </button>
          )}
        </p>
      )}
      <Answers answers={answers} busy={busy} />
    </>
  );
}
