/** The process that isolated.ts starts: one contestant, on orders of its parent. */
import type { Running } from './contestants.ts';
import type { Answer, Question } from './isolated.ts';
import { contestant } from './javascript.ts';

let running: Running | undefined;

async function answer(question: Question): Promise<unknown> {
  if (question.do === 'start') {
    running = await contestant(question.formula, question.name).start(question.shapes);
    return undefined;
  }
  if (question.do === 'stretch') return running!.stretch(question.steps, question.gradient);
  return question.do === 'measure' ? running!.measure(question.milliseconds) : running!.advance(question.steps);
}

process.on('message', (question: Question) => {
  answer(question).then(
    (value) => process.send!({ value } satisfies Answer),
    (error: unknown) =>
      process.send!({ error: error instanceof Error ? error.stack! : String(error) } satisfies Answer),
  );
});
process.on('disconnect', () => process.exit());
