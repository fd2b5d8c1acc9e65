import logging
import logging.config
import logging.handlers

from llmdeployment_serving.serve_log import list_log_targets, restore_log_targets


def test_a_library_that_configures_logging_takes_no_target_away() -> None:
    logger = logging.getLogger("test.serve_log")
    target = logging.StreamHandler()
    handler = logging.handlers.MemoryHandler(10, target=target)
    logger.addHandler(handler)
    try:
        kept = list_log_targets()
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        assert handler.target is None
        restore_log_targets(kept)
        assert handler.target is target
    finally:
        logger.removeHandler(handler)
        handler.close()
