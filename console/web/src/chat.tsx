/** One prompt to two revisions, answered side by side. */

import { useEffect, useState } from "preact/hooks";
import { Answers, SIDES, useAnswers } from "./answers";
import { type Choice, type Vote, addVote, describeSide, shuffle } from "./votes";
import { Ballot, Votes, canVote } from "./voting";
import { fetchDeployment, streamChat } from "./api";
import type { Deployment, Revision } from "./contract";
import { useHeading } from "./hooks";

const DEFAULT_TOKENS = 200;
const MOST_TOKENS = 4096;

export function ChatPage({ namespace, name }: { namespace: string; name: string }) {
  const heading = useHeading<HTMLHeadingElement>(`Chat with ${namespace}/${name}`);
  const [deployment, setDeployment] = useState<Deployment | null>(null);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    fetchDeployment(namespace, name).then(setDeployment, (error: Error) => setFailure(error.message));
  }, [namespace, name]);
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>
        Chat side by side: <span class="muted">{namespace}/</span>
        {name}
      </h1>
      <p class="sentence">One prompt to two revisions. These requests count in no verdict and no scaling.</p>
      {failure !== "" && (
        <p role="alert" class="failure">
          {failure}
        </p>
      )}
      {deployment !== null && <Conversation deployment={deployment} />}
    </>
  );
}

/** The revisions that have replicas to ask, newest first. */
function listRevisions(deployment: Deployment): Revision[] {
  return deployment.revisions.filter((each) => each.chat !== false).sort((a, b) => b.number - a.number);
}

/** The revisions to ask first: stable on the left, canary on the right, else the newest ones. */
export function chooseRevisions(deployment: Deployment): [number, number] | null {
  const numbers = listRevisions(deployment).map((each) => each.number);
  const arm = deployment.rollout.find((each) => each.canary !== null) ?? deployment.rollout[0];
  const pick = (...wanted: (number | null | undefined)[]): number | undefined =>
    wanted.find((each): each is number => typeof each === "number" && numbers.includes(each));
  const left = pick(arm?.stable, numbers[0]);
  if (left === undefined) return null;
  return [left, pick(arm?.canary, numbers.find((each) => each !== left)) ?? left];
}

/** The votes of this tab, by LLMDeployment. */
const kept = new Map<string, Vote[]>();

function Conversation({ deployment }: { deployment: Deployment }) {
  const { namespace, name } = deployment;
  const place = `${namespace}/${name}`;
  const [votes, setVotes] = useState(() => kept.get(place) ?? []);
  const [blind, setBlind] = useState(false);
  // The question whose revisions are hidden until it is voted on.
  const [secret, setSecret] = useState<string | null>(null);
  const [chosen, setChosen] = useState(() => chooseRevisions(deployment));
  const [prompt, setPrompt] = useState("");
  const [maxTokens, setMaxTokens] = useState(DEFAULT_TOKENS);
  const { answers, busy, ask, stop } = useAnswers();
  if (chosen === null) return <p>No revision has a replica that could answer.</p>;
  const submit = (event: Event): void => {
    event.preventDefault();
    if (busy || prompt.trim() === "") return;
    setSecret(blind && chosen[0] !== chosen[1] ? prompt : null);
    ask(blind ? shuffle(chosen) : chosen, (revision, onText, signal) => streamChat(namespace, name, { revision, prompt, maxTokens }, onText, signal));
  };
  const vote = (choice: Choice): void => {
    const [left, right] = answers;
    if (secret === null || left === undefined || right === undefined) return;
    const at = new Date().toISOString();
    const sides = { left: describeSide(left), right: describeSide(right) };
    const all = addVote(votes, { at, namespace, name, prompt: secret, choice, ...sides });
    kept.set(place, all);
    setVotes(all);
    setSecret(null);
  };
  const votable = secret !== null && canVote(answers, busy);
  const pick = (index: number, revision: number): void => {
    setChosen(index === 0 ? [revision, chosen[1]] : [chosen[0], revision]);
  };
  return (
    <>
      <form class="ask card" onSubmit={submit}>
        <label for="prompt">Prompt</label>
        <textarea
          id="prompt"
          rows={3}
          value={prompt}
          onInput={(event) => setPrompt(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
          }}
        />
        <div class="buttons">
          {SIDES.map((side, index) => (
            <span key={side} class="field">
              <label for={side}>{index === 0 ? "Left" : "Right"}</label>
              <select id={side} value={chosen[index]} onChange={(event) => pick(index, Number(event.currentTarget.value))}>
                {listRevisions(deployment).map((each) => (
                  <option key={each.number} value={each.number}>
                    {`r${each.number}${each.change ? ` (${each.change})` : ""}`}
                  </option>
                ))}
              </select>
            </span>
          ))}
          <span class="field">
            <label for="tokens">Tokens at most</label>
            <input
              id="tokens"
              type="number"
              min={1}
              max={MOST_TOKENS}
              value={maxTokens}
              onInput={(event) => setMaxTokens(Number(event.currentTarget.value) || DEFAULT_TOKENS)}
            />
          </span>
          {/* With keys they are two elements: one that turned from Stop into Ask both during a click would ask again. */}
          {busy ? (
            <button key="stop" type="button" onClick={stop}>
              Stop
            </button>
          ) : (
            <button key="ask" type="submit" class="primary" disabled={prompt.trim() === ""}>
              Ask both
            </button>
          )}
          <span class="muted small">Ctrl+Enter asks too.</span>
        </div>
        <label class="choice">
          <input type="checkbox" checked={blind} disabled={busy} onChange={(event) => setBlind(event.currentTarget.checked)} />
          Blind: the sides are shuffled, and their revisions hidden until you vote
        </label>
      </form>
      <Answers answers={answers} busy={busy} hidden={secret !== null && answers.every((each) => each.failure === "")} />
      {votable && <Ballot choose={vote} />}
      <Votes votes={votes} />
    </>
  );
}
