/** A thread of the engine with threads. */
import { runParallelWorker } from 'tensorless/parallel';

void runParallelWorker();
