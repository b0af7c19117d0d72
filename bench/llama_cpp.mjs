// Measures llama.cpp through node-llama-cpp for llama_cpp.py:
//     node llama_cpp.mjs NODE_MODULES MODEL.gguf THREADS CONTEXT
// Prints a line of JSON about llama.cpp; then for every line "PROMPT_TOKENS TOKENS" of standard input
// one with the tokens written and the seconds up to the first of them and from there to the last.
import {createRequire} from "node:module";
import {readFileSync} from "node:fs";
import {createInterface} from "node:readline";
import {pathToFileURL} from "node:url";
import path from "node:path";

const [folder, modelPath, threads, contextSize] = process.argv.slice(2);
const require = createRequire(path.join(folder, "package.json"));
const {getLlama} = await import(pathToFileURL(require.resolve("node-llama-cpp")));

const llama = await getLlama({
  gpu: false, build: "never", maxThreads: Number(threads), logLevel: "error"
});
const model = await llama.loadModel({modelPath, gpuLayers: 0});
const context = await model.createContext({
  contextSize: Number(contextSize), batchSize: 512, threads: Number(threads), flashAttention: true
});
const variants = [...new Set(readFileSync("/proc/self/maps", "utf8").match(/libggml-cpu-[^/\s]*/g))];
const say = (object) => console.log(JSON.stringify(object));
say({
  release: llama.llamaCppRelease?.release, variants, threads: context.currentThreads,
  flashAttention: context.flashAttention
});

async function measure(promptTokens, tokens) {
  const sequence = context.getSequence();
  // The same every time, behind the special tokens and those of bytes.
  const prompt = Array.from({length: promptTokens}, (_, i) => 259 + (i * 7919) % 3800);
  const times = [performance.now()];
  const written = [];
  for await (const token of sequence.evaluate(prompt, {temperature: 0, yieldEogToken: true})) {
    times.push(performance.now());
    written.push(token);
    if (written.length === tokens) break;
  }
  await sequence.dispose();
  if (written.length < 2) throw new Error("the model ended the text at once; choose another seed");
  return {
    tokens: written, prompt: (times[1] - times[0]) / 1e3, generation: (times.at(-1) - times[1]) / 1e3
  };
}

for await (const line of createInterface({input: process.stdin})) {
  const [promptTokens, tokens] = line.split(" ").map(Number);
  say(await measure(promptTokens, tokens));
}
process.exit(0);
