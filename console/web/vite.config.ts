import { defineConfig } from "vite";

// The server's policy admits scripts, styles and pictures of its own origin alone: nothing is inlined, and no polyfill is put into the page.
export default defineConfig({
  base: "./",
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
