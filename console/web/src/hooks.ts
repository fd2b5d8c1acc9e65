/** What several pages need of the browser. */

import { useEffect, useRef, useState } from "preact/hooks";
import { type Route, parseRoute } from "./route";

/** The route of the address bar. */
export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const follow = (): void => setRoute(parseRoute(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return route;
}

/** Whether the browser asks for dark colours. */
export function useDark(): boolean {
  const [query] = useState(() => matchMedia("(prefers-color-scheme: dark)"));
  const [dark, setDark] = useState(query.matches);
  useEffect(() => {
    const follow = (): void => setDark(query.matches);
    query.addEventListener("change", follow);
    return () => query.removeEventListener("change", follow);
  }, [query]);
  return dark;
}

/** A screen reader may begin to read a sentence for that long, and then has its peace for QUIET_MILLISECONDS. */
const READ_MILLISECONDS = 1000;
const QUIET_MILLISECONDS = 20_000;

/** The value of `aria-live` for a sentence that may change every few seconds: one change is announced, and the next ones only later. */
export function useCalm(sentence: string | undefined): "polite" | "off" {
  const [quiet, setQuiet] = useState(false);
  useEffect(() => {
    if (quiet || sentence === undefined) return;
    const timer = setTimeout(() => setQuiet(true), READ_MILLISECONDS);
    return () => clearTimeout(timer);
    // Its end is no reason to begin anew, only another sentence is.
  }, [sentence]);
  useEffect(() => {
    if (!quiet) return;
    const timer = setTimeout(() => setQuiet(false), QUIET_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [quiet]);
  return quiet ? "off" : "polite";
}

/** Sets the title of the tab, and moves the focus to the heading of a page that was opened by a link. */
export function useHeading<T extends HTMLElement>(title: string): { current: T | null } {
  const heading = useRef<T>(null);
  useEffect(() => {
    document.title = `${title} · LLMDeployment console`;
    if (opened) heading.current?.focus();
    opened = true;
  }, [title]);
  return heading;
}

let opened = false;

/** Calls `load` now and each `milliseconds` while the page is visible. */
export function usePolling(load: () => Promise<void>, milliseconds: number): void {
  useEffect(() => {
    let timer = 0;
    let ended = false;
    const turn = async (): Promise<void> => {
      if (!document.hidden) await load();
      if (!ended) timer = window.setTimeout(() => void turn(), milliseconds);
    };
    void turn();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [load, milliseconds]);
}
