import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import { App } from "./app";
import "./style/base.css";
import "./style/controls.css";
import "./style/fleet.css";
import "./style/deployment.css";
import "./style/chat.css";

const root = document.getElementById("app");
if (root !== null) render(<App />, root);
